/* The device: reads rows of readings from stdin, sends them in packed messages over UDP, and waits for each to arrive.

   cc -std=c99 -D_POSIX_C_SOURCE=200809L -I DIRECTORY_OF_SENSOR_H device.c -o device
   ./device PORT [DAMAGE]

   sensor.h is written by skbsq.export.to_c(codebook, "sensor"). A frame on the wire is

       u32 number of the frame | message | u32 CRC-32 of all before it

   all little-endian, and the answer the number and one byte: 'A' where it arrived, 'N' where it is to be sent again.
   With DAMAGE, each frame whose number it divides is sent with a wrong byte at first. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "sensor.h"

#define ROWS 32
#define TRIES 50

static uint8_t frame[4 + SENSOR_MESSAGE_BYTES(ROWS) + 4];

/* Sends a frame until it is answered with an 'A'. Returns 0, or -1 after many tries. */
static int deliver(int link, uint32_t number, size_t size, int damage)
{
    int tries;
    for (tries = 0; tries < TRIES; ++tries) {
        uint8_t answer[5];
        const size_t wrong = 4 + number % (size - 4);
        const int damaged = damage && tries == 0;
        frame[wrong] ^= (uint8_t)(damaged ? 0x10 : 0);
        if (send(link, frame, size, 0) < 0)
            perror("send");
        frame[wrong] ^= (uint8_t)(damaged ? 0x10 : 0);
        /* Answers to earlier tries may still come in: they have another number, or say the same. */
        while (recv(link, answer, sizeof answer, 0) == 5)
            if (memcmp(answer, frame, 4) == 0) {
                if (answer[4] == 'A')
                    return 0;
                break;
            }
    }
    return -1;
}

/* Takes the numbers from a line, which holds nothing else. Returns 0, or -1. */
static int parse(const char *line, float *x)
{
    uint32_t feature;
    for (feature = 0; feature < SENSOR_FEATURES; ++feature) {
        char *end;
        x[feature] = strtof(line, &end);
        if (end == line)
            return -1;
        line = end;
    }
    return line[strspn(line, " \t\r\n")] == '\0' ? 0 : -1;
}

/* Reads up to ROWS rows, a line each, into a message. Returns their number. A line that is no row, or holds a NaN, is
   reported and left out. The server would take the zeros of a refused row for readings: the next row replaces them. */
static uint32_t read_rows(uint8_t *message)
{
    static unsigned long number = 0;
    uint8_t *row = message + sensor_message_begin(message, 0);
    uint32_t n = 0;
    float x[SENSOR_FEATURES];
    char line[64 * SENSOR_FEATURES];
    while (n < ROWS && fgets(line, sizeof line, stdin)) {
        int cut = 0, c = 0;
        ++number;
        if (!strchr(line, '\n')) {
            cut = 1; /* longer than any row, or the input ends within its last number */
            while ((c = getchar()) != EOF && c != '\n')
                continue;
        }
        if (cut || parse(line, x) != 0 || sensor_encode(x, row) != 0) {
            fprintf(stderr, "line %lu is left out: it is not a row of %d numbers\n", number, (int)SENSOR_FEATURES);
            continue;
        }
        row += SENSOR_ROW_BYTES;
        ++n;
    }
    return n;
}

int main(int argc, char **argv)
{
    const struct timeval patience = {1, 0};
    struct sockaddr_in server;
    uint32_t number = 0, n, damage = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
    int link = socket(AF_INET, SOCK_DGRAM, 0);

    if (argc < 2 || link < 0)
        return 2;
    memset(&server, 0, sizeof server);
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(link, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(link, (struct sockaddr *)&server, sizeof server) < 0)
        return 2;

    while ((n = read_rows(frame + 4)) > 0) {
        size_t size = 4 + sensor_message_end(frame + 4, n);
        sensor_write_u32(frame, number);
        sensor_write_u32(frame + size, sensor_crc(0, frame, size));
        if (deliver(link, number, size + 4, damage && number % damage == 0) < 0) {
            fprintf(stderr, "nobody answers\n");
            return 1;
        }
        ++number;
    }
    close(link);
    return 0;
}
