/* The device: reads readings from a file and publishes their rows with MQTT 3.1.1, at QoS 1.

   cc -std=c99 -D_POSIX_C_SOURCE=200809L -I DIRECTORY_OF_SENSOR_H mqtt_sender.c -o mqtt_sender
   ./mqtt_sender PORT DEVICE START READINGS [LOSE [CUT]]

   sensor.h is written by skbsq.export.to_c(codebook, "sensor"). The topic is fleet/DEVICE/rows, and a payload is

       u32 number | message | u32 CRC-32 of all before it

   all little-endian. The number is START * 65536 + the number of the message since this start of the device. READINGS
   holds float32, SENSOR_FEATURES per reading; NaN where a sensor has no new value. To test the way: with LOSE, the
   answers to every LOSE-th message get lost once; with CUT, the power fails at the end of READINGS. */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "sensor.h"

#define ROWS 10
#define TRIES 5
#define TEXT 64 /* longest topic or client id */
#define BODY (2 + TEXT + 2 + 4 + SENSOR_MESSAGE_BYTES(ROWS) + 4)

static int port;
static const char *device;

/* Writes a text with its length before it. Returns the number of bytes. */
static size_t put_text(uint8_t *to, const char *text)
{
    const size_t size = strlen(text);
    to[0] = 0;
    to[1] = (uint8_t)size;
    memcpy(to + 2, text, size);
    return 2 + size;
}

/* Sends one MQTT packet. Returns 0, or -1. */
static int send_packet(int link, uint8_t type, const uint8_t *body, size_t size)
{
    uint8_t packet[5 + BODY];
    size_t at = 0, left = size, sent = 0;
    packet[at++] = type;
    do {
        packet[at++] = (uint8_t)(left % 128 + (left > 127 ? 128 : 0));
        left /= 128;
    } while (left > 0);
    memcpy(packet + at, body, size);
    for (at += size; sent < at;) {
        const ssize_t n = send(link, packet + sent, at - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return -1;
        sent += (size_t)n;
    }
    return 0;
}

/* Waits for a packet of four bytes, CONNACK or PUBACK. Returns 0 if it is this one, or else -1. */
static int receive(int link, uint8_t type, unsigned value)
{
    const uint8_t expected[4] = {type, 2, (uint8_t)(value >> 8), (uint8_t)value};
    uint8_t found[4];
    return recv(link, found, 4, MSG_WAITALL) == 4 && memcmp(found, expected, 4) == 0 ? 0 : -1;
}

/* Connects to the broker. Returns the socket, or -1. */
static int open_link(void)
{
    static const uint8_t start[] = {0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60}; /* 3.1.1, clean session, 60 s */
    const struct timeval patience = {10, 0};
    const int on = 1, link = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in broker;
    uint8_t body[BODY];
    if (link < 0)
        return -1;
    memset(&broker, 0, sizeof broker);
    broker.sin_family = AF_INET;
    broker.sin_port = htons((uint16_t)port);
    broker.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(link, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(link, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    memcpy(body, start, sizeof start);
    if (connect(link, (struct sockaddr *)&broker, sizeof broker) == 0 &&
        send_packet(link, 0x10, body, sizeof start + put_text(body + sizeof start, device)) == 0 &&
        receive(link, 0x20, 0) == 0)
        return link;
    close(link);
    return -1;
}

/* Publishes a payload until the broker has it: QoS 1. Returns 0, or -1 after several tries. */
static int publish(int *link, unsigned id, const uint8_t *payload, size_t size, int lose)
{
    uint8_t body[BODY];
    char topic[TEXT];
    size_t at;
    int tries;
    snprintf(topic, sizeof topic, "fleet/%s/rows", device);
    at = put_text(body, topic);
    body[at++] = (uint8_t)(id >> 8);
    body[at++] = (uint8_t)id;
    memcpy(body + at, payload, size);
    for (tries = 0; tries < TRIES; ++tries) {
        if (*link < 0 && (*link = open_link()) < 0)
            continue;
        /* 0x08: it may have been sent before. The broker passes it on again, so the number tells duplicates. */
        if (send_packet(*link, tries ? 0x3A : 0x32, body, at + size) == 0 && receive(*link, 0x40, id) == 0 &&
            !(lose && tries == 0))
            return 0;
        close(*link);
        *link = -1;
    }
    return -1;
}

/* Puts the new values of the sensors into the row, and copies the row if every sensor has measured since the start.
   Returns 0 if it does. */
static int measure(const float *x, uint8_t *row, uint8_t *mask, uint8_t *to)
{
    uint32_t feature;
    for (feature = 0; feature < SENSOR_FEATURES; ++feature)
        if (x[feature] == x[feature]) /* not NaN */
            sensor_fill(row, mask, feature, x[feature]);
    return sensor_copy_ready(row, mask, to);
}

int main(int argc, char **argv)
{
    static uint8_t payload[4 + SENSOR_MESSAGE_BYTES(ROWS) + 4];
    const unsigned start = argc > 4 ? (unsigned)atoi(argv[3]) : 0, lose = argc > 5 ? (unsigned)atoi(argv[5]) : 0;
    FILE *readings = argc > 4 ? fopen(argv[4], "rb") : NULL;
    uint8_t row[SENSOR_ROW_BYTES], mask[SENSOR_MASK_BYTES];
    float x[SENSOR_FEATURES];
    unsigned number = 0;
    int link = -1, more = 1;
    if (!readings || strlen(argv[2]) + sizeof "fleet//rows" > TEXT)
        return 2;
    port = atoi(argv[1]);
    device = argv[2];
    sensor_clear(row, mask);
    while (more) {
        uint8_t *message = payload + 4, *next = message + sensor_message_begin(message, 0);
        uint32_t n = 0;
        size_t size;
        while (n < ROWS && (more = fread(x, sizeof x, 1, readings) == 1))
            if (measure(x, row, mask, next) == 0) {
                next += SENSOR_ROW_BYTES;
                ++n;
            }
        if (!more && argc > 6)
            _exit(0); /* the power fails: what is in memory is gone */
        if (n == 0)
            break;
        size = 4 + sensor_message_end(message, n);
        sensor_write_u32(payload, (uint32_t)start << 16 | number);
        sensor_write_u32(payload + size, sensor_crc(0, payload, size));
        if (publish(&link, number % 65535 + 1, payload, size + 4, lose && number % lose == lose - 1) < 0) {
            fprintf(stderr, "%s: the broker does not answer\n", device);
            return 1;
        }
        ++number;
    }
    if (link >= 0) {
        send_packet(link, 0xE0, payload, 0); /* DISCONNECT */
        close(link);
    }
    fclose(readings);
    return 0;
}
