"""Text of the JavaScript decoders, ECMAScript 5. `skbsq.export._js` writes the data before it.

``skbsqBooks`` are the codebooks: fingerprint, bits and bytes of a row, and per feature its name, bits and levels.
``skbsqFrame`` is what both ends agreed on for short frames.
"""

ROWS = """\
/* Reads n rows from a byte on. A row begins `step` bits behind the one before. */
function skbsqRows(book, bytes, begin, n, step) {
  var rows = [], i;
  for (i = 0; i < n; i += 1) {
    skbsqPadding(bytes, 8 * begin + i * step + book.rowBits, 8 * begin + (i + 1) * step, "Row " + i + " does");
  }
  for (i = 0; i < n; i += 1) {
    rows.push(skbsqRow(book, bytes, 8 * begin + i * step, i));
  }
  return rows;
}

function skbsqRow(book, bytes, bit, row) {
  var codes = [], values = {}, j, k, code, name, bits, levels;
  for (j = 0; j < book.features.length; j += 1) {
    name = book.features[j][0];
    bits = book.features[j][1];
    levels = book.features[j][2];
    code = 0;
    for (k = 0; k < bits; k += 1, bit += 1) {
      code += (bytes[Math.floor(bit / 8)] >> bit % 8 & 1) << k;
    }
    if (code >= levels.length) {
      throw new Error("Code " + code + " of feature " + name + " (row " + row + ") is out of range: these bytes " +
        "belong to another codebook, or they are corrupt.");
    }
    codes.push(code);
    /* Unlike an assignment, this takes every name. */
    Object.defineProperty(values, name,
      {value: levels[code], enumerable: true, writable: true, configurable: true});
  }
  return {codes: codes, values: values};
}

function skbsqPadding(bytes, bit, end, what) {
  for (; bit < end; bit += 1) {
    if (bytes[Math.floor(bit / 8)] >> bit % 8 & 1) {
      throw new Error(what + " not end with zero bits: these bytes belong to another codebook, or they are corrupt.");
    }
  }
}

/* Codes and values are those of the last row. Several rows are listed too. */
function skbsqResult(rows) {
  var last = rows[rows.length - 1], data = {codes: last.codes, values: last.values};
  if (rows.length > 1) {
    data.rows = rows;
  }
  return data;
}
"""

BARE = """\
function skbsqRead(bytes) {
  var book = skbsqBooks[0], n = bytes.length / book.rowBytes;
  if (n < 1 || n % 1 !== 0) {
    throw new Error("A payload holds one or more rows of " + book.rowBytes + " bytes, got " + bytes.length +
      " bytes: it is cut off, or belongs to another codebook.");
  }
  return skbsqResult(skbsqRows(book, bytes, 0, n, 8 * book.rowBytes));
}
"""

SHORT = """\
/* The CRC of a frame, which goes on after that of the fingerprint. */
function skbsqCrc(bytes, end) {
  var crc = skbsqFrame.crcStart, bits = skbsqFrame.crcBits, i, k;
  for (i = 0; i < end; i += 1) {
    crc ^= bytes[i] << bits - 8;
    for (k = 0; k < 8; k += 1) {
      crc = crc << 1 ^ (crc >> bits - 1 & 1 ? skbsqFrame.polynomial : 0);
    }
    crc &= Math.pow(2, bits) - 1;
  }
  return crc;
}

function skbsqRead(bytes) {
  var book = skbsqBooks[0], begin = skbsqFrame.seq ? 2 : 1, end = bytes.length - skbsqFrame.crcBits / 8;
  var n = (end - begin) / book.rowBytes, crc = 0, i, data;
  if (bytes.length > 0 && skbsqFrame.id !== null && bytes[0] !== skbsqFrame.id) {
    throw new Error("This frame has the id " + bytes[0] + ", expected " + skbsqFrame.id + ".");
  }
  if (n < 1 || n % 1 !== 0) {
    throw new Error("A frame holds one or more rows of " + book.rowBytes + " bytes, and " +
      (begin + skbsqFrame.crcBits / 8) + " bytes more, got " + bytes.length +
      " bytes: it is cut off, or belongs to another codebook or layout.");
  }
  for (i = bytes.length - 1; i >= end; i -= 1) {
    crc = crc * 256 + bytes[i];
  }
  if (skbsqFrame.crcBits > 0 && crc !== skbsqCrc(bytes, end)) {
    throw new Error("The CRC of this frame is wrong: it is corrupt, or belongs to another codebook or layout.");
  }
  data = skbsqResult(skbsqRows(book, bytes, begin, n, 8 * book.rowBytes));
  data.id = bytes[0];
  if (skbsqFrame.seq) {
    data.seq = bytes[1];
  }
  return data;
}
"""

MESSAGE = """\
function skbsqU32(bytes, at) {
  return bytes[at] + bytes[at + 1] * 256 + bytes[at + 2] * 65536 + bytes[at + 3] * 16777216;
}

/* The CRC-32 of zlib. */
function skbsqCrc(bytes, end) {
  var crc = -1, i, k;
  for (i = 0; i < end; i += 1) {
    crc ^= bytes[i];
    for (k = 0; k < 8; k += 1) {
      crc = crc >>> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    }
  }
  return ~crc >>> 0;
}

function skbsqBook(fingerprint) {
  var known = [], i;
  for (i = 0; i < skbsqBooks.length; i += 1) {
    if (skbsqBooks[i].fingerprint === fingerprint) {
      return skbsqBooks[i];
    }
    known.push(skbsqBooks[i].fingerprint);
  }
  throw new Error("This message was written with another codebook (fingerprint " + fingerprint +
    ", this decoder has " + known.join(" or ") + "), or it is corrupt.");
}

function skbsqRead(bytes) {
  var fingerprint = "", i, book, n, tight, step, size, data;
  if (bytes.length < 22) {
    throw new Error("A message has at least 22 bytes, got " + bytes.length + ": it is cut off.");
  }
  if (bytes[0] !== 83 || bytes[1] !== 66 || bytes[2] !== 83 || bytes[3] !== 81) {
    throw new Error("Not a message of skbsq: it does not begin with SBSQ.");
  }
  if (bytes[4] !== 1) {
    throw new Error("This message has format version " + bytes[4] + "; this decoder reads version 1.");
  }
  if (bytes[5] > 1) {
    throw new Error("This message has the flags " + bytes[5] + ": this decoder reads no entropy-coded or deflated " +
      "rows, or the message is corrupt.");
  }
  for (i = 6; i < 14; i += 1) {
    fingerprint += (bytes[i] < 16 ? "0" : "") + bytes[i].toString(16);
  }
  book = skbsqBook(fingerprint);
  n = skbsqU32(bytes, 14);
  tight = bytes[5] === 1;
  step = tight ? book.rowBits : 8 * book.rowBytes;
  size = Math.ceil(n * step / 8) + 22;
  if (bytes.length < size) {
    throw new Error("The message is cut off: " + (size - bytes.length) + " of its " + size + " bytes are missing.");
  }
  if (bytes.length > size) {
    throw new Error((bytes.length - size) + " bytes follow the message.");
  }
  if (skbsqU32(bytes, size - 4) !== skbsqCrc(bytes, size - 4)) {
    throw new Error("The check sum of this message is wrong: it is corrupt.");
  }
  if (n === 0) {
    throw new Error("This message has no rows.");
  }
  if (tight) {
    skbsqPadding(bytes, 144 + n * step, 8 * (size - 4), "The rows do");
  }
  data = skbsqResult(skbsqRows(book, bytes, 18, n, step));
  data.fingerprint = fingerprint;
  return data;
}
"""

DECODE = """\
function decodeUplink(input) {
  try {
    if (!input || !input.bytes) {
      throw new Error("There is nothing to decode: input.bytes is missing.");
    }
    return {data: skbsqRead(input.bytes), errors: []};
  } catch (error) {
    return {errors: [error.message]};
  }
}
"""
