// SPDX-License-Identifier: MIT
// Types of the browser client. docs/client.md is its guide.

export type TransportName = 'websocket' | 'sse' | 'longpoll' | 'shortpoll';
export type State = 'idle' | 'connecting' | 'connected' | 'waiting' | 'offline' | 'closed';

export interface HoldfastOptions {
  token?: string | (() => string | undefined | Promise<string | undefined>);
  transports?: TransportName[];          // in order of preference; default all four
  remember?: boolean;                    // keep per origin which transport worked (default true, where localStorage exists)
  outbox?: 'memory' | 'indexeddb' | { name: string }; // default memory; a name makes it durable under that name ('indexeddb': under `default`)
  shareTabs?: boolean;                   // one connection for all tabs of the origin (default false)
  presence?: unknown;                    // client-given info for presence
  fetch?: typeof fetch;                  // to bring one's own
  WebSocket?: typeof WebSocket;
  backoff?: { min?: number; max?: number };            // ms, full jitter (default 500 and 30000)
  healthTimeout?: number;                // ms within which a transport has to prove itself (default 3000)
  upgradeAfter?: number;                 // ms after which a better transport is tried again in the background (default 60000, then twice as long)
  maxOutbox?: number;                    // publishes kept at most (default 1000); more are refused with OutboxFullError
  signal?: AbortSignal;                  // closes the client
}

export interface Message<T = unknown> {
  channel: string; id?: string; prev?: string; ts: number; data: T;
  ephemeral?: boolean; redelivered?: number; type?: string; /* content type when it is not JSON/text, as docs/protocol.md */
}
export interface Gap { channel: string; from?: string; to?: string; reason: string; [k: string]: unknown }
export interface Receipt { id?: string; channel: string; duplicate?: boolean; durability?: string; prev?: string; ts?: number }
export interface Member { [k: string]: unknown }

export interface SubscribeOptions {
  since?: string | 0;        // after this id; 0: all that is retained
  last?: number;             // the newest N, then live
  subscriber?: string;       // durable subscriber
  presence?: boolean;        // deliver join/leave too
  persist?: boolean | string;// keep the cursor across page reloads (sessionStorage), under this name
  signal?: AbortSignal;
  onGap?(gap: Gap): void;                // reasons as in docs/protocol.md, and `lost`: missing, and not to be had again
  onPresence?(event: Record<string, unknown>): void;
  onError?(error: HoldfastError): void;  // it was refused; without this the client's `error` tells
}

export class Subscription {
  readonly channel: string;
  readonly cursor: string | undefined;   // the id to go on from: of the last message handed over, or where it began
  readonly ready: Promise<void>;         // resolves when the server has confirmed the subscription for the first time
  ack(message: Message | string): Promise<void>;
  close(): void;
}

export class HoldfastError extends Error {
  readonly code: string;
  readonly status?: number;
  readonly retryable: boolean;
  readonly retryAfter?: number;                  // ms, as the server asked
  readonly detail?: Record<string, unknown>;     // the rest of the broker's error: `head` of a conflict …
}
export class ConnectionError extends HoldfastError {}   // could not reach the broker over any transport (it goes on trying)
export class RefusedError extends HoldfastError {}      // the broker refused: code and message are the broker's
export class OutboxFullError extends HoldfastError {}
export class AbortError extends HoldfastError {}

export interface HoldfastEvents {
  state: CustomEvent<{ state: State; retryIn?: number; reason?: string }>;
  transport: CustomEvent<{ transport: TransportName; previous?: TransportName; reason: string; ms: number }>; // trusted now; ms since connecting began
  gap: CustomEvent<Gap>;
  error: CustomEvent<HoldfastError>;
}

export class Holdfast extends EventTarget {
  constructor(url: string, options?: HoldfastOptions);
  readonly state: State;
  readonly transport: TransportName | undefined;  // the trusted one
  readonly session: string | undefined;           // the broker's session id
  readonly info: Record<string, unknown> | undefined; // the /v1/info answer
  readonly pending: number;                       // publishes in the outbox
  static readonly version: string;
  subscribe<T = unknown>(channel: string, options?: SubscribeOptions, onMessage?: (m: Message<T>, sub: Subscription) => void): Subscription;
  subscribe<T = unknown>(channel: string, onMessage: (m: Message<T>, sub: Subscription) => void): Subscription;
  messages<T = unknown>(channel: string, options?: SubscribeOptions): AsyncIterable<Message<T>> & { ack(message: Message | string): Promise<void> };
  publish(channel: string, data: unknown, options?: { key?: string; ephemeral?: boolean; ttl?: number; expect?: string; type?: string; signal?: AbortSignal }): Promise<Receipt>;
  history<T = unknown>(channel: string, options?: { since?: string | 0; last?: number; limit?: number; signal?: AbortSignal }): Promise<Message<T>[]>;
  presence(channel: string, options?: { signal?: AbortSignal }): Promise<Member[]>;
  on<K extends keyof HoldfastEvents>(type: K, listener: (detail: HoldfastEvents[K]['detail']) => void): () => void; // returns the remover
  close(): Promise<void>;
}
export default Holdfast;
