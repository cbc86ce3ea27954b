/** A large table's copy in chunks is killed at each step from the last chunk on, until the replay has the table. */
import { describe } from "vitest";
import { CATCHING_UP, ChunkedCopy } from "./chunked.ts";

describe("a copy whose chunks are loaded", () => {
  new ChunkedCopy().testKills(CATCHING_UP);
});
