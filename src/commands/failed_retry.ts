import { failedEventRetry } from "../queue/skyq.ts";
import { defineFailed } from "./_failed.ts";

export const failedRetry = defineFailed({
  verb: "retry",
  summary: "Give dead letters to their consumer again, at once",
  details: "The ticker's retry round puts them back into the queue; only their consumer gets them.",
  done: "will come again",
  act: failedEventRetry,
});
