/** Rows as lines, their cells in columns two spaces apart, with no spaces at the end of a line. */
export function alignColumns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lineOf = (row: readonly string[]) =>
    row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ");
  return rows.map((row) => `${lineOf(row).trimEnd()}\n`).join("");
}

/** A cell for what may not be known. */
export function cellOf(value: string | number | undefined): string {
  return value === undefined || value === "" ? "-" : String(value);
}
