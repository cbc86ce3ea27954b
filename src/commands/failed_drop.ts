import { failedEventDrop } from "../queue/skyq.ts";
import { defineFailed } from "./_failed.ts";

export const failedDrop = defineFailed({
  verb: "drop",
  summary: "Forget dead letters",
  details: "They are gone for good.",
  done: "were forgotten",
  act: failedEventDrop,
});
