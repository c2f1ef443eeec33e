"""C that sends a row only when its codes change, as `skbsq.codec.ChangeSender` does."""

# The loop copies and compares at once: memcmp would take flash, and a program may need it nowhere else.
_CHANGE = """
/* State of sending on change. Starts as zero bytes, as static variables do. */
typedef struct {
    uint8_t row[NAME_ROW_BYTES]; /* sent last */
    uint16_t since;              /* rows since the last packet, with its row; 0: nothing was sent */
    uint8_t seq;                 /* of the next packet */
} name_change;

/* Bytes of a packet: a short frame of one row with a sequence number and a CRC-16. */
#define NAME_CHANGE_BYTES (NAME_SHORT_BYTES(1) + 1)

/* Takes the next row. If it differs from the row sent last, or is the keyframe-th after it, writes a packet into frame,
   which has NAME_CHANGE_BYTES bytes. Returns the size of the packet, or 0: send nothing. Do not pass a refused row. */
static inline size_t name_change_step(
    name_change *state, const uint8_t *row, uint16_t keyframe, uint8_t id, uint8_t *frame)
{
    const size_t begin = name_short_begin_seq(frame, id, state->seq);
    uint32_t changed = 0;
    size_t i;
    for (i = 0; i < NAME_ROW_BYTES; ++i) {
        changed |= NAME_CAST(uint32_t, state->row[i]) ^ row[i];
        state->row[i] = frame[begin + i] = row[i];
    }
    if (changed == 0 && state->since != 0 && state->since < keyframe) {
        ++state->since;
        return 0;
    }
    state->since = 1;
    ++state->seq;
    return name_short_end(frame, begin + NAME_ROW_BYTES);
}
"""


def functions(codebook):
    """Write the state and the function that send on change. Rows of 0 bits have none, as they have no short frame."""
    return _CHANGE if codebook.row_bits else ""
