import { createInterface } from 'node:readline/promises';
import { Complaint } from '../complaint.ts';

/**
 * Asks the operator on stderr; anything but `y` or `yes` is a no.
 *
 * @param nobody the complaint where nobody can be asked
 * @throws Complaint when stdin is no terminal
 */
export async function isConfirmed(question: string, nobody: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new Complaint(nobody);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const asked = new AbortController();
  terminal.once('SIGINT', () => asked.abort());
  try {
    const reply = await terminal.question(`${question} [y/N] `, { signal: asked.signal });
    return /^y(es)?$/i.test(reply.trim());
  } catch {
    // Ctrl-C at the question is a no.
    return false;
  } finally {
    terminal.close();
  }
}
