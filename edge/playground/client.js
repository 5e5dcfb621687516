// @ts-nocheck Made of edge/client by `npm run client:sync`; do not edit.

// shared/routes.ts
var segment = encodeURIComponent;
var imageRoute = (image) => `/v1/images/${segment(image.sha256)}`;
var jobRoute = (id) => `/v1/jobs/${segment(id)}`;
var jobVerdictsRoute = (id) => `${jobRoute(id)}/verdicts`;
var jobCandidatesRoute = (id) => `${jobRoute(id)}/candidates`;
var jobImagesRoute = (id) => `${jobRoute(id)}/images`;
var jobEventsRoute = (id) => `${jobRoute(id)}/events`;
var scoreRoute = (id) => `/v1/scores/${segment(id)}`;
var tenantRoute = (tenant) => `/admin/v1/tenants/${segment(tenant)}`;
var adminImageRoute = (sha256) => `/admin/v1/images/${segment(sha256)}`;
var tenantBudgetRoute = (tenant) => `${tenantRoute(tenant)}/budget`;
var tenantKeysRoute = (tenant) => `${tenantRoute(tenant)}/keys`;
var tenantKeyRoute = (tenant, keyId) => `${tenantKeysRoute(tenant)}/${segment(keyId)}`;

// edge/client/client-error.ts
var ClientError = class extends Error {
  code;
  /** HTTP status; undefined where there was no answer, and for a failure told inside a stream. */
  status;
  /** What the service itself said, where it said anything. */
  detail;
  /** Every field at fault, with what it may hold. */
  problems;
  /** The first field at fault. */
  param;
  /** Names the answer in the service's log. */
  requestId;
  /** Whether the same request may succeed later without any change. */
  isRetryable;
  /** When it may, milliseconds from now; undefined where nobody said. */
  retryAfterMs;
  constructor(message, details) {
    super(message, details.cause === void 0 ? void 0 : { cause: details.cause });
    this.name = "ClientError";
    this.code = details.code;
    this.status = details.status;
    this.detail = details.detail;
    this.problems = details.problems ?? [];
    this.param = details.param;
    this.requestId = details.requestId;
    this.isRetryable = details.isRetryable;
    this.retryAfterMs = details.retryAfterMs;
  }
};
var PASSING = [408, 429, 500, 502, 503, 504];
async function refusalOf(response) {
  const { status, headers } = response;
  const problem = await response.json().catch(() => void 0);
  const said = headers.get("x-should-retry");
  const detail = problem?.error?.message ?? problem?.detail;
  return new ClientError(detail ?? `The service answered with status ${status}.`, {
    code: problem?.error?.code ?? "unexpected_answer",
    status,
    detail,
    problems: problem?.errors ?? [],
    param: problem?.error?.param ?? void 0,
    requestId: headers.get("x-request-id") ?? void 0,
    isRetryable: said === null ? PASSING.includes(status) : said === "true",
    retryAfterMs: retryAfterMs(headers)
  });
}
function unreachable(what, cause) {
  const isTimeout = cause instanceof DOMException && cause.name === "TimeoutError";
  const message = isTimeout ? `${what}: no answer in time.` : `${what}: the service cannot be reached.`;
  return new ClientError(message, { code: isTimeout ? "timeout" : "unreachable", isRetryable: true, cause });
}
function streamedFailure({ error }, requestId) {
  const { message, code, param } = error;
  return new ClientError(message, { code, detail: message, param: param ?? void 0, requestId, isRetryable: false });
}
function retryAfterMs(headers) {
  const ms = Number(headers.get("retry-after-ms") ?? Number.NaN);
  if (ms >= 0) return ms;
  const after = headers.get("retry-after");
  if (after === null) return void 0;
  const seconds = Number(after);
  const found = Number.isNaN(seconds) ? Date.parse(after) - Date.now() : seconds * 1e3;
  return Number.isNaN(found) ? void 0 : Math.max(found, 0);
}

// edge/client/names.ts
var NAME = /^[A-Za-z0-9_-]{1,100}$/;
function named(field, name) {
  if (NAME.test(name)) return name;
  throw invalidArgument(field, name, "1 to 100 of A-Z a-z 0-9 _ -");
}
function invalidArgument(field, value, permitted) {
  const problem = `is ${JSON.stringify(value)?.slice(0, 120)}`;
  const message = `${field} ${problem}; permitted: ${permitted}`;
  const problems = [{ field, problem, permitted }];
  return new ClientError(message, { code: "invalid_request", problems, param: field, isRetryable: false });
}

// edge/client/admin-calls.ts
var AdminCalls = class {
  #transport;
  constructor(transport) {
    this.#transport = transport;
  }
  /** The one answer that holds the key itself. */
  async createKey(tenant, request, options = {}) {
    const path = tenantKeysRoute(named("tenant", tenant));
    return this.#transport.json("CreatedApiKey", { method: "POST", path, body: request, ...options });
  }
  async revokeKey(tenant, keyId, options = {}) {
    const path = tenantKeyRoute(named("tenant", tenant), named("keyId", keyId));
    return this.#transport.json("ApiKey", { method: "DELETE", path, ...options });
  }
  async account(tenant, options = {}) {
    const path = tenantRoute(named("tenant", tenant));
    return this.#transport.json("TenantAccount", { method: "GET", path, ...options });
  }
  /** Keys, budget, requests and their prompts; what is under way is given up. */
  async erase(tenant, options = {}) {
    const path = tenantRoute(named("tenant", tenant));
    return this.#transport.json("ErasedTenant", { method: "DELETE", path, ...options });
  }
  /** Removes a picture, by its hash, and keeps it from being stored again. */
  async takeDown(sha256, options = {}) {
    const path = adminImageRoute(named("sha256", sha256));
    return this.#transport.json("TakenDown", { method: "DELETE", path, ...options });
  }
  async setBudget(tenant, request, options = {}) {
    const path = tenantBudgetRoute(named("tenant", tenant));
    return this.#transport.json("TenantAccount", { method: "PUT", path, body: request, ...options });
  }
  async removeBudget(tenant, options = {}) {
    const path = tenantBudgetRoute(named("tenant", tenant));
    return this.#transport.json("TenantAccount", { method: "DELETE", path, ...options });
  }
};

// edge/client/event-source.ts
async function* sentEvents(body, silenceMs = Number.POSITIVE_INFINITY) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (; ; ) {
      const { value, done } = await within(silenceMs, reader.read());
      if (done) return;
      text = (text + value).replaceAll("\r\n", "\n");
      const frames = text.split("\n\n");
      text = frames.pop() ?? "";
      for (const frame of frames) {
        const event = parseFrame(frame);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => void 0);
  }
}
function parseFrame(frame) {
  const fields = { id: "", event: "message" };
  const data = [];
  for (const line of frame.split("\n")) {
    const [, name, value = ""] = /^([^:]+)(?:: ?(.*))?$/.exec(line) ?? [];
    if (name === "data") data.push(value);
    else if (name === "id" || name === "event") fields[name] = value;
  }
  if (data.length === 0) return void 0;
  const { id, event } = fields;
  return { id: id === "" ? void 0 : Number(id), event, data: JSON.parse(data.join("\n")) };
}
async function within(ms, promise) {
  if (ms === Number.POSITIVE_INFINITY) return promise;
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new DOMException("silence", "TimeoutError")), ms);
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    if (timer !== void 0) clearTimeout(timer);
  }
}

// edge/client/work-options.ts
function workHeaders(options) {
  const { idempotencyKey, cacheControl, cancelAfterMs, traceparent, headers } = options;
  return {
    ...headers,
    ...idempotencyKey !== void 0 && { "idempotency-key": JSON.stringify(idempotencyKey) },
    ...cacheControl !== void 0 && { "cache-control": cacheControl },
    ...cancelAfterMs !== void 0 && { "cancel-after": `${Math.ceil(cancelAfterMs / 1e3)}s` },
    ...traceparent !== void 0 && { traceparent }
  };
}
function newIdempotencyKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// edge/client/image-calls.ts
var SHA256_HEX = /^[0-9a-f]{64}$/;
var GENERATIONS = "/v1/images/generations";
var ImageCalls = class {
  #transport;
  constructor(transport) {
    this.#transport = transport;
  }
  /** Waits for the picture. Aborting `signal` gives it up, unless others wait for the same or an idempotency key was sent. */
  generate(request, options = {}) {
    return this.#transport.json("ImageResponse", this.#asked(request, options));
  }
  /** Does not wait: the job, under way or ended. */
  generateAsync(request, options = {}) {
    const call = this.#asked(request, options);
    return this.#transport.json("JobRecord", { ...call, headers: { ...call.headers, prefer: "respond-async" } });
  }
  /**
   * Previews, the job's own events where `parm.events` asks for them, and the picture last. Leaving the loop before gives the
   * picture up as aborting does. A cut stream throws `unreachable`: send the request again, and it is joined or in cache.
   */
  async *stream(request, options = {}) {
    const response = await this.#transport.open(this.#asked({ ...request, stream: true }, options));
    if (!response.body) return;
    let missing = request.n ?? 1;
    try {
      for await (const { event, data } of sentEvents(response.body)) {
        if (event === "error") {
          const requestId = response.headers.get("x-request-id") ?? void 0;
          throw streamedFailure(data, requestId);
        }
        if (event.startsWith("parm.")) yield data;
        else yield this.#transport.checked("ImageStreamEvent", data, response);
        if (event === "image_generation.completed") missing -= 1;
        if (missing === 0) return;
      }
    } catch (error) {
      options.signal?.throwIfAborted();
      throw error instanceof TypeError ? unreachable(`POST ${GENERATIONS}`, error) : error;
    }
    throw unreachable(`POST ${GENERATIONS}`, new Error("the stream ended before the picture came"));
  }
  /** @param image  the SHA-256 of a picture, or the address that an answer named */
  async get(image, options = {}) {
    const isAddress = /^https?:\/\//.test(image);
    if (!isAddress && !SHA256_HEX.test(image)) {
      throw invalidArgument("image", image, "a SHA-256 of 64 lower-case hexadecimal digits, or an address, https://\u2026");
    }
    return this.#transport.bytes({ method: "GET", path: isAddress ? image : imageRoute({ sha256: image }), ...options });
  }
  #asked(body, options) {
    return { method: "POST", path: GENERATIONS, body, ...options, headers: workHeaders(options) };
  }
};

// shared/job-status.ts
var TERMINAL_STATUSES = ["succeeded", "failed", "canceled", "expired"];
function isTerminal(status) {
  return TERMINAL_STATUSES.includes(status);
}

// edge/client/job-calls.ts
var JOBS = "/v1/jobs";
var RECONNECTS = 6;
var SILENCE_MS = 45e3;
var JobCalls = class {
  #transport;
  constructor(transport) {
    this.#transport = transport;
  }
  /** Without an idempotency key of the caller's it gets one, so that a repeat after a lost answer opens no second job. */
  create(request, options = {}) {
    const headers = workHeaders({ idempotencyKey: newIdempotencyKey(), ...options });
    return this.#transport.json("JobRecord", { method: "POST", path: JOBS, body: request, ...options, headers });
  }
  async get(id, options = {}) {
    return this.#transport.json("JobRecord", { method: "GET", path: jobRoute(named("id", id)), ...options });
  }
  /** One page, newest first. */
  list(query = {}, options = {}) {
    return this.#transport.json("JobList", { method: "GET", path: JOBS, query: { ...query }, ...options });
  }
  /** All of them, page by page as they are read. */
  async *listAll(query = {}, options = {}) {
    let page = await this.list(query, options);
    for (; ; ) {
      yield* page.data;
      if (page.nextCursor === void 0) return;
      page = await this.list({ ...query, cursor: page.nextCursor }, options);
    }
  }
  /** @returns the record; a job that has ended stays as it is */
  async cancel(id, options = {}) {
    return this.#transport.json("JobRecord", { method: "DELETE", path: jobRoute(named("id", id)), ...options });
  }
  async verdicts(id, options = {}) {
    return this.#transport.json("VerdictLedger", { method: "GET", path: jobVerdictsRoute(named("id", id)), ...options });
  }
  async candidates(id, options = {}) {
    return this.#transport.json("CandidateList", {
      method: "GET",
      path: jobCandidatesRoute(named("id", id)),
      ...options
    });
  }
  /** @param query  the format that they are wanted in; PNG without it */
  async images(id, query = {}, options = {}) {
    return this.#transport.json("JobImages", {
      method: "GET",
      path: jobImagesRoute(named("id", id)),
      query: { ...query },
      ...options
    });
  }
  /** @returns the record of the ended job */
  async waitForEnd(id, options = {}) {
    const record = await this.get(id, options);
    if (isTerminal(record.status)) return record;
    for await (const _ of this.events(id, options)) ;
    return this.get(id, options);
  }
  /**
   * The job's log, each event once and in order, over as many connections as that takes; ends after the terminal event.
   *
   * @throws ClientError  when the service refuses, or too many connections in a row brought nothing
   */
  async *events(id, options = {}) {
    const { after = 0, reconnects = RECONNECTS, onConnection } = options;
    const path = jobEventsRoute(named("id", id));
    let seen = after;
    let failures = 0;
    let isInterrupted = false;
    for (; ; ) {
      try {
        const response = await this.#transport.openOnce({
          method: "GET",
          path,
          ...options,
          headers: { ...options.headers, "last-event-id": String(seen) }
        });
        if (isInterrupted) onConnection?.("resumed");
        isInterrupted = false;
        if (response.status === 204 || !response.body) return;
        for await (const { id: position = 0, data } of sentEvents(response.body, SILENCE_MS)) {
          if (position <= seen) continue;
          seen = position;
          failures = 0;
          const event = this.#transport.checked("JobEvent", data, response);
          yield { id: position, event };
          if (isTerminal(event.type)) return;
        }
        throw new TypeError("the stream ended before the job did");
      } catch (thrown) {
        options.signal?.throwIfAborted();
        const error = thrown instanceof ClientError ? thrown : unreachable(`GET ${path}`, thrown);
        failures += 1;
        if (failures > reconnects || !this.#transport.isRetryable(error)) throw error;
        if (!isInterrupted) onConnection?.("interrupted");
        isInterrupted = true;
        await this.#transport.pause(error, failures, options.signal);
      }
    }
  }
};

// edge/client/score-calls.ts
var SCORES = "/v1/scores";
var ScoreCalls = class {
  #transport;
  constructor(transport) {
    this.#transport = transport;
  }
  /** Waits for the scores. Aborting `signal` gives them up, unless others wait for the same or an idempotency key was sent. */
  score(request, options = {}) {
    return this.#transport.json("ScoreRecord", this.#asked(request, options));
  }
  /** Does not wait: the record, under way or ended. */
  scoreAsync(request, options = {}) {
    const call = this.#asked(request, options);
    return this.#transport.json("ScoreRecord", { ...call, headers: { ...call.headers, prefer: "respond-async" } });
  }
  async get(id, options = {}) {
    return this.#transport.json("ScoreRecord", { method: "GET", path: scoreRoute(named("id", id)), ...options });
  }
  /** @returns the record; one that has ended stays as it is */
  async cancel(id, options = {}) {
    return this.#transport.json("ScoreRecord", { method: "DELETE", path: scoreRoute(named("id", id)), ...options });
  }
  #asked(body, options) {
    return { method: "POST", path: SCORES, body, ...options, headers: workHeaders(options) };
  }
};

// edge/client/service-calls.ts
var ServiceCalls = class {
  #transport;
  constructor(transport) {
    this.#transport = transport;
  }
  /** @returns OpenAI's list; the first is the default model */
  models(options = {}) {
    return this.#transport.json("ModelList", { method: "GET", path: "/v1/models", ...options });
  }
  health(options = {}) {
    return this.#transport.json("Health", { method: "GET", path: "/healthz", ...options });
  }
  /** @throws ClientError service_unavailable  while it cannot take work */
  readiness(options = {}) {
    return this.#transport.json("Readiness", { method: "GET", path: "/readyz", ...options });
  }
  /** @returns Prometheus' text format */
  metrics(options = {}) {
    return this.#transport.text({ method: "GET", path: "/metrics", ...options });
  }
  webhookSecret(options = {}) {
    return this.#transport.json("WebhookSecret", { method: "GET", path: "/v1/webhook-secret", ...options });
  }
};

// edge/client/transport.ts
var RETRIES = 2;
var TIMEOUT_MS = 6e5;
var BACKOFF_MS = { min: 500, max: 8e3 };
var LONGEST_WAIT_MS = 6e4;
var Transport = class {
  #options;
  constructor(options) {
    this.#options = options;
  }
  async json(answer, call) {
    return this.#retrying(call, async (response) => this.checked(answer, await response.json(), response));
  }
  bytes(call) {
    return this.#retrying(call, async (response) => new Uint8Array(await response.arrayBuffer()));
  }
  text(call) {
    return this.#retrying(call, (response) => response.text());
  }
  /** @returns an ok answer whose body is still to be read */
  open(call) {
    return this.#retrying(call, async (response) => response);
  }
  /** As `open`, but tried once. */
  openOnce(call) {
    return this.#once(call, async (response) => response);
  }
  /** @throws ClientError unexpected_answer */
  checked(answer, body, response) {
    const { check } = this.#options;
    if (check === void 0) return body;
    try {
      return check(answer, body);
    } catch (cause) {
      throw new ClientError(`The answer is no ${answer} of this version.`, {
        code: "unexpected_answer",
        status: response?.status,
        requestId: response?.headers.get("x-request-id") ?? void 0,
        isRetryable: false,
        cause
      });
    }
  }
  /** Waits before try number `failures + 1`; rejects when the caller gave up. */
  async pause(error, failures, signal) {
    const ceiling = Math.min(BACKOFF_MS.max, BACKOFF_MS.min * 2 ** (failures - 1));
    const { delay = realDelay } = this.#options;
    await delay(error.retryAfterMs ?? Math.round(ceiling * (0.5 + Math.random() / 2)), signal);
  }
  isRetryable(error) {
    const { isRetryable = (one) => one.isRetryable } = this.#options;
    return isRetryable(error) && (error.retryAfterMs ?? 0) <= LONGEST_WAIT_MS;
  }
  async #retrying(call, read) {
    const { retries = RETRIES } = this.#options;
    for (let failures = 1; ; failures += 1) {
      try {
        return await this.#once(call, read);
      } catch (error) {
        if (!(error instanceof ClientError) || failures > retries || !this.isRetryable(error)) throw error;
        await this.pause(error, failures, call.signal);
      }
    }
  }
  async #once(call, read) {
    const { baseUrl, timeoutMs = TIMEOUT_MS, fetch: send = fetch } = this.#options;
    const { method, path, query = {}, body, signal, headers, onResponse } = call;
    const address = new URL(path, baseUrl);
    for (const [name, value] of Object.entries(query)) {
      if (value !== void 0) address.searchParams.set(name, String(value));
    }
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(new DOMException("no answer in time", "TimeoutError")), timeoutMs);
    try {
      const response = await send(address.href, {
        method,
        headers: {
          ...body === void 0 ? {} : { "content-type": "application/json" },
          ...address.origin === new URL(baseUrl).origin ? this.#authorization() : {},
          ...headers
        },
        ...body === void 0 ? {} : { body: JSON.stringify(body) },
        signal: signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal
      });
      onResponse?.(response);
      if (!response.ok) throw await refusalOf(response);
      return await read(response);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ClientError) throw error;
      throw unreachable(`${method} ${address.pathname}`, timeout.signal.aborted ? timeout.signal.reason : error);
    } finally {
      clearTimeout(timer);
    }
  }
  #authorization() {
    const { apiKey } = this.#options;
    const key = typeof apiKey === "function" ? apiKey() : apiKey;
    return key ? { authorization: `Bearer ${key}` } : {};
  }
};
function realDelay(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", giveUp);
      resolve();
    }, ms);
    const giveUp = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", giveUp, { once: true });
  });
}

// edge/client/client.ts
var ParmClient = class {
  images;
  jobs;
  scores;
  service;
  /** The operator's routes; the client's key is then the operator's. */
  admin;
  constructor(options) {
    const transport = new Transport(options);
    this.images = new ImageCalls(transport);
    this.jobs = new JobCalls(transport);
    this.scores = new ScoreCalls(transport);
    this.service = new ServiceCalls(transport);
    this.admin = new AdminCalls(transport);
  }
};
export {
  ClientError,
  ParmClient
};
