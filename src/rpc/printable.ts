/** Texts of strangers end up in our log and on terminals: no control characters, no escape sequences. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, "?");
}
