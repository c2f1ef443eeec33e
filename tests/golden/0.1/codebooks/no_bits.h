/* Codebook f8f1a4072ec80339 as C: floats to codes, packed rows and messages.
   Written by skbsq 0.1.0.dev0 (message format 1): change the codebook, not this file.

   Feature, bits, levels:
   0, 0, 1, not sent
   1, 1, 2
   2, 0, 1, not sent */

#ifndef SKBSQ_golden_aea45baa9f0f5eef_H
#define SKBSQ_golden_aea45baa9f0f5eef_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GOLDEN_FEATURES 3
#define GOLDEN_ROW_BITS 1
#define GOLDEN_ROW_BYTES 1
/* Of a message: the bytes before its rows, and those of n rows in all. */
#define GOLDEN_HEADER_BYTES 18
#define GOLDEN_MESSAGE_BYTES(n) ((size_t)22 + (size_t)(n) * 1)

/* Refuses to compile where float is not an IEEE 754 binary32. */
typedef char golden_float_has_32_bits[sizeof(float) == 4 ? 1 : -1];

static const uint8_t golden_fingerprint[8] = {0xf8, 0xf1, 0xa4, 0x07, 0x2e, 0xc8, 0x03, 0x39};

/* The thresholds: bits of float32 in an integer order. A code counts those below the value. */
static const int32_t golden_thresholds[] = {
    /* 0 */
    /* 1 */
    0, /* 0x0p+0 = 0.0 */
    /* 2 */
};

/* Feature j owns the thresholds, and the bits of a row, from entry j up to entry j + 1. */
static const uint8_t golden_offsets[] = {0, 0, 1, 1};
static const uint8_t golden_bits[] = {0, 0, 1, 1};

/* The code of a value; 0xFFFFFFFFu where it is NaN. */
static inline uint32_t golden_code(uint32_t feature, float value)
{
    const uint32_t begin = golden_offsets[feature];
    uint32_t k = begin, end = golden_offsets[feature + 1];
    /* Integers in the order of the floats, -0.0 and 0.0 being one: no FPU is asked, and none can round or flush. */
    uint32_t bits;
    int32_t magnitude, key;
    memcpy(&bits, &value, sizeof bits);
    magnitude = (int32_t)(bits & 0x7FFFFFFFu);
    key = bits >> 31 ? -magnitude : magnitude;
    if (magnitude > 0x7F800000)
        return 0xFFFFFFFFu;
    while (k < end && golden_thresholds[k] < key)
        ++k;
    return k - begin;
}

/* Quantizes one feature, numbered from 0, into a row that was all zero bytes at first: in any order, and as often as
   there is a new value. A feature that was never put has code 0: send the row once every feature was put.
   Returns 0, or leaves the row as it is and returns
   -1 where there is no such feature,
   feature + 1 where it is NaN. */
static inline int golden_put(uint8_t *row, uint32_t feature, float value)
{
    uint32_t code, at, mask;
    if (feature >= GOLDEN_FEATURES)
        return -1;
    if (golden_bits[feature] == golden_bits[feature + 1])
        return 0; /* a feature of 0 bits */
    code = golden_code(feature, value);
    if (code == 0xFFFFFFFFu)
        return (int)(feature + 1);
    at = golden_bits[feature];
    mask = (((uint32_t)1 << (golden_bits[feature + 1] - at)) - 1) << (at & 7u);
    code <<= at & 7u;
    for (row += at >> 3; mask != 0; ++row) {
        *row = (uint8_t)((*row & ~mask) | code);
        code >>= 8;
        mask >>= 8;
    }
    return 0;
}

/* Quantizes all features into a packed row of GOLDEN_ROW_BYTES. Returns 0, or the number, from 1,
   of the first feature that is NaN. Do not send the row then:
   it is all zeros, which is a valid row of other values. */
static inline int golden_encode(const float *x, uint8_t *row)
{
    uint8_t *to = row;
    uint32_t feature, waiting = 0, n_waiting = 0;
    for (feature = 0; feature < GOLDEN_FEATURES; ++feature) {
        const uint32_t n_bits = (uint32_t)golden_bits[feature + 1] - golden_bits[feature];
        uint32_t code;
        if (n_bits == 0)
            continue;
        code = golden_code(feature, x[feature]);
        if (code == 0xFFFFFFFFu) {
            memset(row, 0, GOLDEN_ROW_BYTES);
            return (int)(feature + 1);
        }
        waiting |= code << n_waiting;
        for (n_waiting += n_bits; n_waiting >= 8; n_waiting -= 8) {
            *to++ = (uint8_t)(waiting & 0xFFu);
            waiting >>= 8;
        }
    }
    if (n_waiting > 0)
        *to = (uint8_t)waiting;
    return 0;
}

/* CRC-32 of zlib, in pieces: 0 before the first, then what the last call returned. */
static inline uint32_t golden_crc(uint32_t crc, const uint8_t *data, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
    crc = ~crc;
    for (; size > 0; --size) {
        crc ^= *data++;
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return ~crc;
}

/* Writes 4 bytes, the lowest first: so a CRC ends a message that is sent in pieces. */
static inline void golden_write_u32(uint8_t *bytes, uint32_t value)
{
    int i;
    for (i = 0; i < 4; ++i) {
        bytes[i] = (uint8_t)(value & 0xFFu);
        value >>= 8;
    }
}

/* Writes the header of a message of n_rows rows. Returns its size, GOLDEN_HEADER_BYTES: the rows stand behind it. */
static inline size_t golden_message_begin(uint8_t *message, uint32_t n_rows)
{
    static const uint8_t start[6] = {'S', 'B', 'S', 'Q', 1, 0};
    memcpy(message, start, 6);
    memcpy(message + 6, golden_fingerprint, 8);
    golden_write_u32(message + 14, n_rows);
    return GOLDEN_HEADER_BYTES;
}

/* Ends a message after the n_rows rows that stand in it, which may differ from what the header said so far: sets their
   number there and writes the CRC behind them. Returns the size of the message, GOLDEN_MESSAGE_BYTES(n_rows). */
static inline size_t golden_message_end(uint8_t *message, uint32_t n_rows)
{
    const size_t size = GOLDEN_MESSAGE_BYTES(n_rows) - 4;
    golden_write_u32(message + 14, n_rows);
    golden_write_u32(message + size, golden_crc(0, message, size));
    return size + 4;
}

#endif
