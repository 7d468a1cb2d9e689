/** A decoded message: the values of each field number, in order. */
export type Message = Map<number, (bigint | Buffer)[]>;

/**
 * Reads one level of a protobuf message (the wire format of https://protobuf.dev/programming-guides/encoding): numbers
 * as bigint, everything else as bytes, to be read again where they are a message.
 */
export function decodeMessage(bytes: Buffer): Message {
  const message: Message = new Map();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes.readUInt8(at);
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number) => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const field = tag >> 3;
    const value = readValue(tag & 7);
    message.set(field, [...(message.get(field) ?? []), value]);
  }
  return message;

  function readValue(wireType: number): bigint | Buffer {
    if (wireType === 0) return varint();
    if (wireType === 1) return take(8).readBigUInt64LE();
    if (wireType === 2) return take(Number(varint()));
    if (wireType === 5) return BigInt(take(4).readUInt32LE());
    throw new Error(`expected a wire type of protobuf 3, got ${wireType} at byte ${at}`);
  }
}
