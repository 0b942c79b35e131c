import type { Moment } from "./crash-stories.ts";
import type { MemoryDisk } from "./memory-disk.ts";

/** Every disk that a crash at one of the moments may leave, and of equal ones the first. */
export function* imagesOf(
  moments: readonly Moment[],
  imagesMax = Infinity,
): IterableIterator<{
  image: MemoryDisk;
  moment: Moment;
  where: string;
}> {
  const seen = new Set<string>();
  const isNew = (...identity: readonly unknown[]): boolean => {
    const { size } = seen;
    return seen.add(identity.join(" ")).size > size;
  };
  let images = 0;
  for (const [step, moment] of moments.entries()) {
    const { disk, applied, wasOpened } = moment;
    if (!isNew("moment", applied, wasOpened, disk.fingerprint())) continue;
    for (const image of disk.images(imagesMax))
      if (isNew("image", applied, wasOpened, image.fingerprint()))
        yield { image, moment, where: `crash before step ${step + 1}, image ${++images}` };
  }
}
