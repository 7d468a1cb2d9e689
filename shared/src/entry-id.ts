/** Orders the ids of stream entries, `<milliseconds>-<sequence>`, as Redis does. */
export function compareIds(left: string, right: string): number {
  const [leftMs = 0, leftSequence = 0] = left.split('-').map(Number);
  const [rightMs = 0, rightSequence = 0] = right.split('-').map(Number);
  return leftMs - rightMs || leftSequence - rightSequence;
}

/** When Redis took the entry: Unix time, milliseconds. */
export function timeOfId(id: string): number {
  return Number.parseInt(id, 10);
}
