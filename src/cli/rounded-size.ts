import { formatSize } from "../config/units.ts";

/** Such as 1.5MiB: one digit behind the point, which is as exact as a glance needs. */
export function roundedSize(bytes: number): string {
  for (const unit of [1024 ** 3, 1024 ** 2, 1024]) {
    if (bytes >= unit) return `${(bytes / unit).toFixed(1)}${formatSize(unit).slice(1)}`;
  }
  return formatSize(bytes);
}
