/** The seed that a text names: a whole number is itself, anything else, such as a commit hash, is read as hexadecimal digits. */
export function seedOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const digits = text.replace(/[^0-9a-fA-F]/g, "").slice(0, 12);
  if (digits === "") throw new Error(`Cannot read the seed "${text}": a number or a commit hash is wanted`);
  return Number.parseInt(digits, 16);
}
