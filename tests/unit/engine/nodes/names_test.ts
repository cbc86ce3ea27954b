import { describe, expect, it } from "vitest";
import { matchNames } from "../../../../src/engine/nodes/names.ts";

const TABLES = ["public.orders", "public.order_lines", "app.orders", "public.a*b", "public.Ta.ble", "My Schema.x+y"];

describe("matchNames()", () => {
  it.each([
    ["orders", ["public.orders"]],
    ["order*", ["public.orders", "public.order_lines"]],
    ["app.*", ["app.orders"]],
    ["*.orders", ["public.orders", "app.orders"]],
    ["?rders", ["public.orders"]],
    ["a*b", ["public.a*b"]],
    ["Ta.ble", []],
    ["public.Ta.ble", ["public.Ta.ble"]],
    ['"Ta.ble"', ["public.Ta.ble"]],
    ['"My Schema"."x+y"', ["My Schema.x+y"]],
    ['"My Schema".x+y', ["My Schema.x+y"]],
    ['"My Schema".*', ["My Schema.x+y"]],
    ['app."orders"', ["app.orders"]],
    ["My Schema.x+?", ["My Schema.x+y"]],
    ["ord.rs", []],
    ["ORDERS", []],
    ["nosuch*", []],
  ])("%s", (typed, expected) => expect(matchNames(typed, TABLES)).toEqual(expected));
});
