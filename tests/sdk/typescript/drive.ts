// A program on the types that openapi-typescript makes of the OpenAPI document, with openapi-fetch.
//
//     npm ci && npm run generate && npx tsc
//     DELTADB_URL=http://127.0.0.1:8080 ADMIN_KEY=… node out/drive.js

import createClient from "openapi-fetch";
import type { components, paths } from "./deltadb.js";

type Problem = components["schemas"]["Problem"];

const baseUrl = process.env["DELTADB_URL"] ?? "http://127.0.0.1:8080";

/** The data of an answer that must be one. */
function expected<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail ?? "no data");
  return answer.data;
}

/** The problem of an answer that must be one. */
function refused(answer: { error?: Problem }): Problem {
  if (answer.error === undefined) throw new Error("this should have been refused");
  return answer.error;
}

// A key becomes a session.
const anonymous = createClient<paths>({ baseUrl });
const session = expected(await anonymous.POST("/api/login", { body: { key: process.env["ADMIN_KEY"] ?? "" } }));
const client = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${session.token}` } });
const who = expected(await client.GET("/api/me"));
console.log("logged in:", who.client_id, ...who.permissions);

// A document is written and read; `response` has status and headers.
const order = { params: { path: { database: "orders", key: "o-1" } } };
const created = await client.PUT("/entity/{database}/{key}", { ...order, body: { total: 12.5, lines: ["nails"] } });
const { version } = expected(created);
console.log("put:", created.response.status, "version", version);
console.log("got:", JSON.stringify(expected(await client.GET("/entity/{database}/{key}", order))));

// Two clients read the same version and write: the second learns that it is late.
const etag = created.response.headers.get("etag") ?? "";
const late = { params: { ...order.params, header: { "If-Match": etag } } };
const first = expected(await client.PUT("/entity/{database}/{key}", { ...late, body: { total: 13 } }));
const second = refused(await client.PUT("/entity/{database}/{key}", { ...late, body: { total: 14 } }));
console.log("conflict:", first.version, second.status, second.error);

// Several at once.
const orders = { params: { path: { database: "orders" } } };
const map = await client.PUT("/entity/{database}", { ...orders, body: { "o-2": { total: 1 }, "ключ 2": null } });
console.log("map:", JSON.stringify(expected(map).versions));

// Keys come in pages.
const keys: string[] = [];
let cursor: string | undefined;
do {
  const query = { limit: 2, ...(cursor === undefined ? {} : { cursor }) };
  const answer = await client.GET("/api/databases/{database}/keys", { params: { ...orders.params, query } });
  const page = expected(answer);
  keys.push(...page.items.map((item) => item.key));
  cursor = page.next_cursor;
} while (cursor !== undefined);
console.log("keys:", JSON.stringify(keys));

// What goes wrong is a value with a type, and `error` is the code to match on.
const nothing = { params: { path: { database: "orders", key: "none" } } };
const absent = refused(await client.GET("/entity/{database}/{key}", nothing));
console.log("absent:", absent.status, absent.error);

const schema = { type: "object", properties: { total: { type: "number" } }, required: ["total"] };
expected(await client.PUT("/schema/{id}", { params: { path: { id: "orders" } }, body: schema }));
const wrong = refused(await client.PUT("/entity/{database}/{key}", { ...order, body: { total: "much" } }));
const violations = (wrong.violations ?? []).map(({ keyword, pointer }) => `${keyword} at ${pointer}`);
console.log("refused:", wrong.status, wrong.error, ...violations);

const guess = createClient<paths>({ baseUrl, headers: { authorization: "Bearer guessed" } });
const stranger = refused(await guess.PUT("/entity/{database}/{key}", { ...order, body: 1 }));
console.log("stranger:", stranger.status, stranger.error);
