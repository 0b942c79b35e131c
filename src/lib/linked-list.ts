/** What stands in a list: only the list writes to these. */
export interface Linked<Item> {
  previous: Item | undefined;
  next: Item | undefined;
  isListed: boolean;
}

/**
 * A list from which any item leaves in no time: a Map or an array takes longer the more items there are. Each item may
 * stand in one list, once. Items may be removed while the list is iterated over.
 */
export class LinkedList<Item extends Linked<Item>> {
  first: Item | undefined = undefined;
  last: Item | undefined = undefined;

  add(item: Item): void {
    item.isListed = true;
    item.previous = this.last;
    item.next = undefined;
    if (this.last === undefined) this.first = item;
    else this.last.next = item;
    this.last = item;
  }

  remove(item: Item): void {
    if (!item.isListed) return;
    item.isListed = false;
    if (item.previous === undefined) this.first = item.next;
    else item.previous.next = item.next;
    if (item.next === undefined) this.last = item.previous;
    else item.next.previous = item.previous;
  }

  /** A removed item still says what came after it, so that an iteration finds its way on. */
  *[Symbol.iterator](): IterableIterator<Item> {
    for (let item = this.first; item !== undefined; item = item.next) if (item.isListed) yield item;
  }
}
