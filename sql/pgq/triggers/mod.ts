/**
 * The trigger functions of schema pgq and what they are made of, in the order to apply them: a function comes after the
 * ones it calls. They need pgq.insert_event() to run, not to be created.
 */
import urlencode from "./urlencode.sql" with { type: "text" };

export const TRIGGERS: string[] = [urlencode];
