/** What the files of a store are called: `MANIFEST`, `MANIFEST.new`, `LOCK`, and runs as `000001.run`. */

export const manifestName = "MANIFEST";

export function manifestPath(folder: string): string {
  return `${folder}/${manifestName}`;
}

/** A MANIFEST on its way: what is found under this name at open was never finished. */
export function manifestTemporaryPath(folder: string): string {
  return `${folder}/${manifestName}.new`;
}

export function lockPath(folder: string): string {
  return `${folder}/LOCK`;
}

export function runPath(folder: string, number: number): string {
  return `${folder}/${runName(number)}`;
}

export function runName(number: number): string {
  return `${String(number).padStart(6, "0")}.run`;
}

/** Whether a file of this name is a run, whole or not. */
export function isRunName(name: string): boolean {
  return /^\d{6,16}\.run$/.test(name);
}
