/** Something that the operator can mend: the message is one line and says what, where and what to do. */
export class Complaint extends Error {
  override name = 'Complaint';
}
