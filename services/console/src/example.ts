/** The example below a command's help. */
export function example(line: string, what: string): string {
  return `\nExample:\n  ${line}    # ${what}`;
}
