import { tablesConformance } from "../env/tables-conformance.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryTables } from "./memory-tables.ts";

tablesConformance("the tables in memory that other tests use", () => {
  const disk = new MemoryDisk();
  disk.createFolder("data");
  return { tables: new MemoryTables(disk), disk, path: "data/000001.run" };
});
