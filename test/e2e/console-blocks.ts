/** A command of a console block and what it is said to print. */
export interface Step {
  readonly command: string;
  readonly expected: readonly string[];
  readonly line: number;
}

/**
 * The fenced `console` blocks of a Markdown text that follow the comment `<!-- test -->`. Lines that start with `$ `
 * are commands, those that start with `> ` go on with the one before, the others are its output.
 */
export function consoleBlocks(markdown: string): Step[][] {
  const blocks: Step[][] = [];
  const lines = markdown.split("\n");
  for (let at = 0; at < lines.length; at++) {
    if (lines[at]!.trim() !== "<!-- test -->") continue;
    do at++;
    while (at < lines.length && lines[at]!.trim() === "");
    if (lines[at]?.trim() !== "```console")
      throw new Error(`Line ${at + 1}: after <!-- test --> a block of \`\`\`console is wanted`);
    const block: { command: string; expected: string[]; line: number }[] = [];
    for (at++; at < lines.length && lines[at]!.trim() !== "```"; at++) {
      const line = lines[at]!;
      const last = block.at(-1);
      if (line.startsWith("$ ")) block.push({ command: line.slice(2), expected: [], line: at + 1 });
      else if (last === undefined) throw new Error(`Line ${at + 1}: a block begins with a command: $ ...`);
      else if (line.startsWith("> ") && last.expected.length === 0)
        block[block.length - 1] = { ...last, command: `${last.command}\n${line.slice(2)}` };
      else last.expected.push(line);
    }
    blocks.push(block);
  }
  return blocks;
}

/** Whether the output is the expected one: `...` within a line matches anything in it, alone any number of lines. */
export function isExpected(expected: readonly string[], output: string): boolean {
  const pattern = expected
    .map((line) => {
      if (line.trim() === "...") return "(?:.*\\n)*";
      const parts = line
        .trimEnd()
        .split("...")
        .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
      return `${parts.join(".*")}[ \\t]*\\n`;
    })
    .join("");
  const text = output === "" || output.endsWith("\n") ? output : `${output}\n`;
  return new RegExp(`^${pattern}$`).test(text);
}
