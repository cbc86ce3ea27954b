import { Buffer } from "node:buffer";
import { describe, expect, it } from "vitest";
import { SkyqError } from "../../../../src/base/errors.ts";
import { WireConnection, type WireOptions } from "../../../../src/db/wire/connection.ts";
import { openSql } from "../../../../src/db/sql.ts";
import { waitFor } from "../../../harness/wait_for.ts";
import { concat, message, type MockClient, MockServer, raw, READY, SETTINGS_DONE, WELCOME } from "./_mock_server.ts";

/** The failure of `work`, which must be an expected one. */
async function failure(work: Promise<unknown>): Promise<SkyqError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SkyqError) return error;
    throw error;
  }
  throw new Error("It did not fail");
}

async function connectTo(script: (client: MockClient) => Promise<void>, options?: WireOptions, extra?: string) {
  const server = new MockServer(script);
  const connection = await WireConnection.connect(server.target(extra), options);
  return {
    connection,
    [Symbol.dispose]() {
      connection.destroy();
      server[Symbol.dispose]();
    },
  };
}

const never = () => new Promise<void>(() => {});
const ERROR = message("E", raw("SERROR\0VERROR\0C22P02\0Mbad input\0Wline 7\0\0"));
const FATAL = message("E", raw("SFATAL\0VFATAL\0C57P01\0Mterminating\0\0"));

describe("WireConnection.connect() with a server that misbehaves", () => {
  const answers: [string, Uint8Array, string][] = [
    ["another protocol", raw("HTTP/1.1 400 Bad Request\r\n\r\n"), "protocol"],
    ["a length below 4", new Uint8Array([0x52, 0, 0, 0, 3, 0, 0, 0, 0]), "protocol"],
    ["a negative length", new Uint8Array([0x52, 0xff, 0xff, 0xff, 0xff]), "protocol"],
    ["a length beyond sense", new Uint8Array([0x52, 0x7f, 0, 0, 0]), "protocol"],
    ["an unknown message", message("?", 0), "protocol"],
    ["a row before the start", message("D", 0), "protocol"],
    ["an empty Authentication", message("R"), "protocol"],
    ["an unknown authentication", message("R", 99), "auth"],
    ["GSSAPI", message("R", 7), "auth"],
    ["an unknown SASL mechanism", message("R", 10, "MAGIC", ""), "auth"],
    ["a row after the login", concat(message("R", 0), message("D", 0)), "protocol"],
    ["a refusal", message("E", raw("SFATAL\0C53300\0Mtoo many\0\0")), "connect"],
  ];
  it.each(answers)("says so: %s", async (_name, answer, fault) => {
    using server = new MockServer(async (client) => {
      await client.receive(false);
      await client.send(answer);
      await never();
    });
    const error = await failure(WireConnection.connect(server.target("sslmode=disable password=s3cret")));
    expect(error.fault).toBe(fault);
    expect(error.message).toContain('Cannot connect to database "d" at 127.0.0.1');
    expect(error.message + error.hint + JSON.stringify(error.facts)).not.toContain("s3cret");
  });

  it("says so when the server closes at once or in the middle of a message", async () => {
    for (const answer of [new Uint8Array(0), message("R", 0).subarray(0, 7), WELCOME.subarray(0, 20)]) {
      using server = new MockServer(async (client) => {
        await client.receive(false);
        await client.send(answer);
        client.close();
      });
      const error = await failure(WireConnection.connect(server.target()));
      expect(error.fault).toBe("connect");
      expect(error.message).toContain("the server closed the connection");
    }
  });

  it("ends at connect_timeout, whatever part of the start-up is late", async () => {
    const answers = [new Uint8Array(0), message("R", 0), WELCOME];
    await Promise.all(answers.map(async (answer) => {
      using server = new MockServer(async (client) => {
        await client.receive(false);
        await client.send(answer);
        await never();
      });
      const error = await failure(WireConnection.connect(server.target("sslmode=disable connect_timeout=1")));
      expect(error.fault).toBe("connect");
      expect(error.message).toContain("no answer within 1 s");
    }));
  });

  it("ends at the signal", async () => {
    using server = new MockServer(never);
    const stop = new AbortController();
    const failing = failure(WireConnection.connect(server.target(), { signal: stop.signal }));
    setTimeout(() => stop.abort(), 20);
    expect((await failing).fault).toBe("stopped");
    expect((await failure(WireConnection.connect(server.target(), { signal: stop.signal }))).fault).toBe("stopped");
  });

  it("asks for a password that is not there by its name", async () => {
    using server = new MockServer(async (client) => {
      await client.receive(false);
      await client.send(message("R", 3));
      await never();
    });
    const error = await failure(WireConnection.connect(server.target("sslmode=disable passfile=/nowhere")));
    expect(error.fault).toBe("auth");
    expect(error.message).toContain('password of user "u"');
  });

  it("does not use what require_auth forbids", async () => {
    const ways: [string, Uint8Array, boolean][] = [
      ["scram-sha-256", message("R", 3), false],
      ["!password", message("R", 3), false],
      ["!password,!none", message("R", 0), false],
      ["none", WELCOME, true],
      ["!md5", WELCOME, true],
    ];
    for (const [list, answer, isFine] of ways) {
      using server = new MockServer(async (client) => {
        await client.receive(false);
        await client.send(answer);
        await client.until("S");
        await client.send(SETTINGS_DONE);
        await never();
      });
      const connecting = WireConnection.connect(server.target(`sslmode=disable password=x require_auth=${list}`));
      if (isFine) (await connecting).destroy();
      else expect((await failure(connecting)).message).toContain("require_auth");
    }
  });
});

describe("WireConnection.connect() with a go-between", () => {
  /** Answers SCRAM as a server would that does not know the password. */
  function scramServer(last: (client: MockClient) => Promise<void>) {
    return new MockServer(async (client) => {
      await client.receive(false);
      await client.send(message("R", 10, "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", ""));
      const first = Buffer.from((await client.receive())!.body).toString();
      const nonce = /r=(.*)$/.exec(first)![1];
      await client.send(message("R", 11, raw(`r=${nonce}abc,s=c2FsdHNhbHQ=,i=10`)));
      await client.receive();
      await last(client);
      await never();
    });
  }
  const lasts: [string, (client: MockClient) => Promise<void>, string][] = [
    [
      "a wrong signature",
      (c) => c.send(message("R", 12, raw("v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")), WELCOME),
      "auth",
    ],
    ["an empty signature", (c) => c.send(message("R", 12, raw("v=")), WELCOME), "auth"],
    ["garbage", (c) => c.send(message("R", 12, new Uint8Array([0xff, 0xfe])), WELCOME), "auth"],
    ["no signature at all", (c) => c.send(WELCOME), "protocol"],
  ];
  it.each(lasts)("does not trust a server with %s", async (_name, last, fault) => {
    using server = scramServer(last);
    const error = await failure(WireConnection.connect(server.target("sslmode=disable password=x")));
    expect(error.fault).toBe(fault);
    expect(error.hint).toContain("pretend");
  });

  it("does not trust one on the library's connection either", async () => {
    using server = scramServer((client) => client.send(WELCOME));
    expect((await failure(openSql(server.target("sslmode=disable password=x")))).fault).toBe("protocol");
  });

  it("does not send a password in clear where TLS is required", async () => {
    using server = new MockServer(async (client) => {
      await client.receive(false);
      await client.send(raw("N"));
      await never();
    });
    const error = await failure(WireConnection.connect(server.target("sslmode=require password=x")));
    expect(error.message).toContain("does not offer TLS");
  });

  it("does not believe bytes sent before the TLS handshake", async () => {
    for (const mode of ["require", "prefer"]) {
      using server = new MockServer(async (client) => {
        await client.receive(false);
        await client.send(raw("S"), WELCOME);
        await never();
      });
      const error = await failure(WireConnection.connect(server.target(`sslmode=${mode} connect_timeout=2`)));
      expect(["protocol", "connect"]).toContain(error.fault);
    }
  });

  it("falls back to clear text with sslmode=prefer only", async () => {
    using server = new MockServer(
      async (client) => {
        await client.receive(false);
        await client.send(raw("N"));
      },
      (client) => client.welcome(),
    );
    const connection = await WireConnection.connect(server.target("sslmode=prefer"));
    expect(connection.processId).toBe(4711);
    connection.destroy();
  });
});

describe("WireConnection reading", () => {
  const ROW = concat(
    message("1"),
    message("2"),
    message("T", raw("\0\x01"), "name", 0, raw("\0\0"), 25, raw("\xff".repeat(0)), raw("\0\0"), 0, raw("\0\0")),
    message("D", raw("\0\x01"), 5, raw("h\u00e9ll")),
    message("C", "SELECT 1"),
    READY,
  );

  it("joins messages that come byte by byte", async () => {
    using open = await connectTo(async (client) => {
      await client.receive(false);
      await client.trickle(1, WELCOME);
      await client.until("S");
      await client.trickle(3, SETTINGS_DONE);
      await client.until("S");
      await client.trickle(1, ROW);
      await never();
    });
    expect(open.connection.serverVersion).toBe(150003);
    expect(await open.connection.query("x")).toEqual([{ name: "héll" }]);
  });

  it("parts answers that come together, and tells notices and notifications between", async () => {
    const told: string[] = [];
    using open = await connectTo(
      async (client) => {
        await client.welcome();
        await client.until("S");
        await client.until("S");
        const notice = message("N", raw("SHINWEIS\0VNOTICE\0C00000\0Mlook\0\0"));
        await client.send(ROW, notice, message("A", 7, "ch", "pay"), message("S", "TimeZone", "UTC"), ROW);
        await never();
      },
      {
        onNotice: (notice) => told.push(`${notice.severity} ${notice.message}`),
        onNotification: (notification) => told.push(`${notification.channel} ${notification.payload}`),
      },
    );
    const both = await Promise.all([open.connection.query("a"), open.connection.query("b")]);
    expect(both.flat().length).toBe(2);
    expect(told).toEqual(["NOTICE look", "ch pay"]);
    expect(open.connection.parameters.get("TimeZone")).toBe("UTC");
  });

  const streams: [string, Uint8Array, string][] = [
    ["nothing", new Uint8Array(0), "connection-lost"],
    ["half a message", ROW.subarray(0, 30), "connection-lost"],
    ["last words", FATAL, "connection-lost"],
    ["a bad length", new Uint8Array([0x44, 0, 0, 0, 1]), "protocol"],
    ["an unknown message", message("@", 0), "protocol"],
    [
      "a row longer than its message",
      concat(message("T", raw("\0\0")), message("D", raw("\0\x01"), 1_000_000)),
      "protocol",
    ],
    ["a description that ends early", message("T", raw("\0\x05"), "a"), "protocol"],
    ["ReadyForQuery with garbage", message("Z", raw("?")), "protocol"],
  ];
  it.each(streams)("gives up, and tells everyone who waits: %s", async (_name, stream, fault) => {
    using open = await connectTo(async (client) => {
      await client.welcome();
      await client.until("S");
      await client.send(stream);
      client.close();
    });
    const failures = await Promise.all([failure(open.connection.query("a")), failure(open.connection.exec("b"))]);
    for (const error of failures) expect(error.fault).toBe(fault);
    expect(open.connection.isClosed).toBe(true);
    expect((await failure(open.connection.query("c"))).fault).toBe(fault);
  });

  it("notices the end while nobody waits", async () => {
    using open = await connectTo(async (client) => {
      await client.welcome();
      await client.send(FATAL);
      client.close();
    });
    await waitFor(() => open.connection.isClosed, { what: "the end to be noticed" });
    const error = await failure(open.connection.query("a"));
    expect(error.sqlstate).toBe("57P01");
  });
});

describe("copyOut() of a stream cut anywhere", () => {
  const rows = ["1\ta\n", "", "2\tb\n", "x".repeat(300)];
  const frames = concat(...rows.map((row) => message("d", raw(row))));
  const begin = message("H", new Uint8Array(3));
  const end = concat(message("c"), message("C", `COPY ${rows.length}`), READY);

  it.each([1, 2, 3, 4, 5, 6, 7, 9, 13, 400])(
    "hands on the frames, and no more, in pieces of %i bytes",
    async (size) => {
      using open = await connectTo(async (client) => {
        await client.welcome();
        await client.until("Q");
        await client.trickle(size, begin, frames, message("S", "a", "b"), frames, end);
        await client.until("S");
        await client.send(SETTINGS_DONE);
        await never();
      });
      let received = new Uint8Array(0);
      for await (const chunk of open.connection.copyOut("copy")) received = concat(received, chunk);
      expect(received).toEqual(concat(frames, frames));
      expect(open.connection.parameters.get("a")).toBe("b");
      expect(await open.connection.query("next")).toEqual([]);
    },
  );

  it("throws the server's error after the rows before it, and goes on", async () => {
    using open = await connectTo(async (client) => {
      await client.welcome();
      await client.until("Q");
      await client.send(begin, frames, ERROR, READY);
      await client.until("S");
      await client.send(SETTINGS_DONE);
      await never();
    });
    let size = 0;
    const copying = (async () => {
      for await (const chunk of open.connection.copyOut("copy")) size += chunk.length;
    })();
    const error = await failure(copying);
    expect(error.sqlstate).toBe("22P02");
    expect(error.facts.where).toBe("line 7");
    expect(size).toBe(frames.length);
    expect(await open.connection.query("next")).toEqual([]);
  });

  const ends: [string, Uint8Array, string][] = [
    ["ends inside a frame", frames.subarray(0, 12), "connection-lost"],
    ["ends inside a header", frames.subarray(0, 3), "connection-lost"],
    ["has a frame with a bad length", new Uint8Array([0x64, 0, 0, 0, 2]), "protocol"],
  ];
  it.each(ends)("says so when the stream %s", async (_name, stream, fault) => {
    using open = await connectTo(async (client) => {
      await client.welcome();
      await client.until("Q");
      await client.send(begin, stream);
      client.close();
    });
    const copying = (async () => {
      for await (const _ of open.connection.copyOut("copy"));
    })();
    expect((await failure(copying)).fault).toBe(fault);
  });
});

describe("copyIn() towards a server that fails", () => {
  const begin = message("G", new Uint8Array(3));

  it("rejects the next write after an error, and completes a frame that was cut", async () => {
    const received: string[] = [];
    using open = await connectTo(async (client) => {
      await client.welcome();
      await client.until("Q");
      await client.send(begin);
      received.push((await client.receive())!.letter);
      await client.send(ERROR, READY);
      for (let next = await client.receive(); next !== null && next.letter !== "P"; next = await client.receive()) {
        received.push(`${next.letter}${next.body.length}`);
      }
      await client.until("S");
      await client.send(SETTINGS_DONE);
      await never();
    });
    const copy = await open.connection.copyIn("copy");
    const frame = message("d", raw("12345"));
    await copy.writeFrames(concat(frame, frame.subarray(0, 7))).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect((await failure(copy.writeFrames(frame.subarray(7)))).sqlstate).toBe("22P02");
    await copy.abort("giving up");
    expect(await open.connection.query("next")).toEqual([]);
    expect(received).toEqual(["d", "d5"]);
  });

  it("completes a header that was cut", async () => {
    for (const cut of [1, 2, 3, 4]) {
      const received: string[] = [];
      using open = await connectTo(async (client) => {
        await client.welcome();
        await client.until("Q");
        await client.send(begin);
        for (let next = await client.receive(); next !== null; next = await client.receive()) {
          received.push(next.letter);
          if (next.letter === "f") break;
        }
        await client.send(ERROR, READY);
        await never();
      });
      const copy = await open.connection.copyIn("copy");
      await copy.writeFrames(message("d", raw("x".repeat(300))).subarray(0, cut));
      await copy.abort("giving up");
      expect(received).toEqual(["d", "f"]);
    }
  });

  it("rejects promptly when the server vanishes while writing", async () => {
    using open = await connectTo(async (client) => {
      await client.welcome();
      await client.until("Q");
      await client.send(begin);
      await client.receive();
      client.close();
    });
    const copy = await open.connection.copyIn("copy");
    const writing = (async () => {
      for (;;) await copy.write(new Uint8Array(100_000));
    })();
    expect((await failure(writing)).fault).toBe("connection-lost");
    expect((await failure(copy.finish())).fault).toBe("connection-lost");
  });

  it("refuses a statement that is no COPY", async () => {
    using open = await connectTo(async (client) => {
      await client.welcome();
      await client.until("Q");
      await client.send(message("C", "BEGIN"), READY);
      await client.until("Q");
      await client.send(message("C", "BEGIN"), READY);
      await never();
    });
    await expect(open.connection.copyIn("begin")).rejects.toThrow("COPY … FROM STDIN");
    const copying = (async () => {
      for await (const _ of open.connection.copyOut("begin"));
    })();
    await expect(copying).rejects.toThrow("COPY … TO STDOUT");
  });
});

describe("dial()", () => {
  it("goes on to the next host, but not after a wrong password", async () => {
    using good = new MockServer((client) => client.welcome());
    using refusing = new MockServer(async (client) => {
      await client.receive(false);
      await client.send(message("E", raw("SFATAL\0C28P01\0Mno\0\0")));
    });
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const closedPort = (listener.addr as Deno.NetAddr).port;
    listener.close();
    const { parseTarget } = await import("../../../../src/db/target.ts");
    const target = (...ports: number[]) =>
      parseTarget(`host=${ports.map(() => "127.0.0.1")} port=${ports} user=u sslmode=disable`);
    (await WireConnection.connect(target(closedPort, good.port))).destroy();
    expect((await failure(WireConnection.connect(target(refusing.port, good.port)))).fault).toBe("auth");
    const error = await failure(WireConnection.connect(target(closedPort)));
    expect(error.message).toContain("connection refused");
    expect(error.hint).toContain("Is the server running");
  });

  it("says that a socket or a host does not exist", async () => {
    const { parseTarget } = await import("../../../../src/db/target.ts");
    const socket = await failure(WireConnection.connect(parseTarget("host=/nowhere user=u")));
    expect(socket.message).toContain("no such socket");
    const name = await failure(WireConnection.connect(parseTarget("host=host.invalid user=u")));
    expect(name.fault).toBe("connect");
  });
});
