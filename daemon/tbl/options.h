/* SPDX-License-Identifier: MIT */
/*
 * Every option of the daemon, once: struct config, its parsers, --help, --dump-config, docs/config.md, the man page
 * and the example file are expansions of these rows. Define the macros that you want, include; all end undefined.
 *
 * SECTION(name, what)
 * OPTION(field, "section.name", TYPE, "default", min, max, reload, help)
 * NAMESPACE_OPTION(field, "name", TYPE, "default", min, max, reload, help): of [namespace] and [namespace NAME]
 *
 * TYPE: PATH and WORDS (char *; min and max count bytes and words), BOOL, COUNT, SIZE (bytes), DURATION (milliseconds),
 * MODE (octal), LEVEL, ENGINE, ACCESS, DURABILITY, SLOW (a choice of words). reload: `live` follows SIGHUP, `fixed` waits for a
 * restart. To the user an option has the name of its field, without `_ms`, and without `ws_` in [websocket] and
 * `presence_` in [presence].
 */
/* clang-format off */
#ifndef SECTION
#define SECTION(...)
#endif
#ifndef OPTION
#define OPTION(...)
#endif
#ifndef NAMESPACE_OPTION
#define NAMESPACE_OPTION(...)
#endif

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)
#define TiB (UINT64_C(1) << 40)
#define SEC UINT64_C(1000)
#define DAY (86400 * SEC)

SECTION("server", "The process and where it listens.")
OPTION(listen, "server.listen", WORDS, "127.0.0.1:8080", 1, 64, fixed, "Where clients connect: addresses separated by spaces. 127.0.0.1:8080, [::1]:8080, *:8080 (every interface, IPv4 and IPv6), localhost:0 (any free port), unix:/run/holdfast/public.sock.")
OPTION(admin_socket, "server.admin_socket", PATH, "", 0, 107, fixed, "The Unix socket of the admin API. Empty: admin.sock in data_dir.")
OPTION(admin_socket_mode, "server.admin_socket_mode", MODE, "0600", 0, 0777, fixed, "File mode of the admin socket: who may write to it may administrate.")
OPTION(data_dir, "server.data_dir", PATH, "data", 1, 4000, fixed, "Where the log is kept.")
OPTION(workers, "server.workers", COUNT, "0", 0, 256, fixed, "I/O threads. 0: one per processor.")
OPTION(max_connections, "server.max_connections", COUNT, "0", 0, 100000000, fixed, "Client connections at most; more wait in the backlog. 0: as many as there are file descriptors.")
OPTION(allow_anonymous_publish, "server.allow_anonymous_publish", BOOL, "no", 0, 0, live, "Allow namespaces with publish = anyone on addresses that other machines can reach. Without it such a configuration is refused.")
OPTION(log_level, "server.log_level", LEVEL, "info", 0, 0, live, "Lines below this level are not logged.")
OPTION(log_sessions, "server.log_sessions", BOOL, "yes", 0, 0, live, "Log one line per closed session.")
OPTION(port_file, "server.port_file", PATH, "", 0, 4000, fixed, "Write the real listen addresses into this file once listening, one per line (for port 0). Empty: none.")
OPTION(demo, "server.demo", BOOL, "yes", 0, 0, fixed, "Serve the demo page at /, and to those who subscribe to demo:stats the figures that it shows. The namespace demo then has presence = yes where nothing else is said.")
OPTION(cors_origins, "server.cors_origins", WORDS, "*", 0, 256, fixed, "Web origins whose pages may read answers, separated by spaces (https://app.example.com), or * for all. Empty: none, and no CORS headers.")
OPTION(ws_origins, "server.ws_origins", WORDS, "*", 0, 256, fixed, "Web origins whose pages may open a WebSocket, or * for all. Empty: only clients that send no Origin.")
OPTION(listen_backlog, "server.listen_backlog", COUNT, "4096", 1, 65535, fixed, "Connections that the kernel keeps until they are accepted, per worker and address. The kernel caps it at net.core.somaxconn.")
OPTION(drain_grace_ms, "server.drain_grace", DURATION, "10s", 0, 3600 * SEC, live, "After SIGTERM: time for clients to leave before their connections are closed.")
OPTION(drain_spread_ms, "server.drain_spread", DURATION, "5s", 0, 3600 * SEC, live, "After SIGTERM: clients are told to come back after random delays up to this, so that they do not come all at once.")
OPTION(io_uring, "server.io_uring", BOOL, "yes", 0, 0, fixed, "Give what many connections have to send to the kernel in one system call, where it has io_uring. Without it each connection writes for itself, and nothing else differs.")

SECTION("store", "The log, where messages are kept.")
OPTION(engine, "store.engine", ENGINE, "sqlite", 0, 0, fixed, "Where the log lives. With memory nothing survives a restart, and the only durability is memory.")
OPTION(database, "store.database", PATH, "", 0, 4000, fixed, "The database file. Empty: holdfast.db in data_dir.")
OPTION(adopt, "store.adopt", BOOL, "no", 0, 0, fixed, "Take a database that comes without its .incarnation file as it is. Without it such a database counts as restored from a copy, and gets a new epoch: clients that come back are told of a gap. Set it for the one start after a log was moved with its file only.")
OPTION(readers, "store.readers", COUNT, "2", 1, 64, fixed, "Threads that read history from the log.")
OPTION(append_queue_bytes, "store.append_queue_bytes", SIZE, "64MiB", 64 * KiB, 64 * GiB, fixed, "Publishes waiting for the log; beyond it they are refused (503, overloaded).")
OPTION(query_queue, "store.query_queue", COUNT, "10000", 1, 10000000, fixed, "History reads waiting for a reader; beyond it they are refused (503, overloaded).")
OPTION(batch_messages, "store.batch_messages", COUNT, "4096", 1, 1000000, fixed, "Messages in one commit at most.")
OPTION(worker_lag, "store.worker_lag", COUNT, "1024", 1, 1000000, fixed, "Commits that a worker may be behind before the log waits for it.")
OPTION(ack_positions, "store.ack_positions", COUNT, "1000000", 1, UINT64_C(1) << 53, fixed, "Positions of durable subscribers (subscriber × channel) at most; further ones are refused (503, overloaded).")
OPTION(ack_expiry_ms, "store.ack_expiry", DURATION, "30d", 0, 36500 * DAY, fixed, "A durable subscriber that neither acknowledged nor connected for so long is forgotten. 0: never.")
OPTION(key_window_ms, "store.key_window", DURATION, "1d", 10, 366 * DAY, fixed, "A publish with Idempotency-Key, and the last one of a producer, is remembered for so long; repeated later it is stored again.")
OPTION(key_memory, "store.key_memory", COUNT, "100000", 1, 100000000, fixed, "Keys and producers of memory-only messages remembered at most, beyond it the oldest is forgotten. Others are kept in the database.")

SECTION("http", "Limits of HTTP requests and of connections.")
OPTION(head_bytes, "http.head_bytes", SIZE, "32KiB", 1 * KiB, 16 * MiB, fixed, "Request line and headers together; larger ones are refused (431).")
OPTION(target_bytes, "http.target_bytes", SIZE, "16KiB", 256, 16 * MiB, fixed, "Path and query of a request; longer ones are refused (414).")
OPTION(body_bytes, "http.body_bytes", SIZE, "1MiB", 1 * KiB, 1 * GiB, fixed, "Request body; larger ones are refused (413).")
OPTION(batch_bytes, "http.batch_bytes", SIZE, "16MiB", 1 * KiB, 1 * GiB, fixed, "Request body of a batch publish; larger ones are refused (413).")
OPTION(head_timeout_ms, "http.head_timeout", DURATION, "10s", 10, 3600 * SEC, fixed, "From the first byte of a request to the end of its headers; later ones are refused (408).")
OPTION(body_timeout_ms, "http.body_timeout", DURATION, "20s", 10, 3600 * SEC, fixed, "Time without a byte of an unfinished request body; then it is refused (408).")
OPTION(idle_timeout_ms, "http.idle_timeout", DURATION, "1m", 10, DAY, fixed, "A kept-alive connection without a request is closed after this.")
OPTION(write_timeout_ms, "http.write_timeout", DURATION, "30s", 10, DAY, fixed, "A connection whose client takes no bytes for so long is closed. Holds for every transport.")
OPTION(linger_ms, "http.linger", DURATION, "2s", 0, 60 * SEC, fixed, "After the last byte was sent: time for the client to close its side.")
OPTION(tcp_user_timeout_ms, "http.tcp_user_timeout", DURATION, "30s", 0, 3600 * SEC, fixed, "Bytes that the network does not acknowledge for so long mean that the client is gone (TCP_USER_TIMEOUT). 0: as the kernel does.")
OPTION(pipeline, "http.pipeline", COUNT, "64", 1, 10000, fixed, "Unanswered requests per connection; more are not read until then.")
OPTION(gzip, "http.gzip", BOOL, "yes", 0, 0, fixed, "Answer GET with Content-Encoding: gzip when the client takes it and the body is text (polls, history, info, metrics, pages). Event streams are never compressed.")
OPTION(gzip_min_bytes, "http.gzip_min_bytes", SIZE, "1KiB", 1, 256 * MiB, fixed, "Shorter bodies are not compressed.")
OPTION(gzip_max_bytes, "http.gzip_max_bytes", SIZE, "512KiB", 1, 256 * MiB, fixed, "Longer bodies are not compressed either: a worker does nothing else meanwhile.")
OPTION(gzip_level, "http.gzip_level", COUNT, "1", 1, 9, fixed, "1: fastest, 9: smallest.")

SECTION("websocket", "Limits of WebSocket connections.")
OPTION(ws_message_bytes, "websocket.message_bytes", SIZE, "1MiB", 1 * KiB, 1 * GiB, fixed, "One message from a client, all its fragments together; a larger one closes the connection (1009).")
OPTION(ws_fragments, "websocket.fragments", COUNT, "1024", 1, 100000000, fixed, "Fragments of one message; more close the connection (1009).")
OPTION(pong_timeout_ms, "websocket.pong_timeout", DURATION, "20s", 10, 3600 * SEC, fixed, "A client that sends nothing for so long after a ping is closed.")
OPTION(ws_close_timeout_ms, "websocket.close_timeout", DURATION, "5s", 10, 3600 * SEC, fixed, "Time for the client to answer a close frame.")
OPTION(ws_deflate, "websocket.deflate", BOOL, "yes", 0, 0, fixed, "Take permessage-deflate (RFC 7692) when a client offers it, as all browsers do. A message is deflated once per worker, however many share it; neither side keeps a window between messages.")
OPTION(ws_deflate_min_bytes, "websocket.deflate_min_bytes", SIZE, "256", 1, 256 * MiB, fixed, "Shorter messages go as they are.")
OPTION(ws_deflate_max_bytes, "websocket.deflate_max_bytes", SIZE, "128KiB", 1, 256 * MiB, fixed, "Longer messages go as they are: a worker does nothing else meanwhile.")
OPTION(ws_deflate_level, "websocket.deflate_level", COUNT, "6", 1, 9, fixed, "1: fastest, 9: smallest.")
OPTION(ws_deflate_window_bits, "websocket.deflate_window_bits", COUNT, "12", 9, 15, fixed, "Size of the window in a message, as a power of two: 12 is 4 KiB. Clients that offer a smaller one (server_max_window_bits) go without compression.")

SECTION("limits", "What one client, channel or worker may use.")
OPTION(message_bytes, "limits.message_bytes", SIZE, "1MiB", 1, 256 * MiB, fixed, "Payload of one message; larger ones are refused (too_large).")
OPTION(channels_per_subscription, "limits.channels_per_subscription", COUNT, "256", 1, 1000, fixed, "Channels of one connection or poll; more are refused (too_many_channels).")
OPTION(patterns_per_subscription, "limits.patterns_per_subscription", COUNT, "16", 0, 1000, fixed, "Patterns (room:*) among them; more are refused (too_many_patterns). 0: no patterns.")
OPTION(patterns, "limits.patterns", COUNT, "10000", 0, 10000000, fixed, "Different patterns with subscribers per worker; more are refused (503, overloaded).")
OPTION(pattern_any, "limits.pattern_any", BOOL, "no", 0, 0, fixed, "Allow patterns that do not name a namespace, such as ro* and *. On the admin socket they are always allowed.")
OPTION(pattern_scan, "limits.pattern_scan", COUNT, "10000", 100, 10000000, fixed, "Log rows that one read for a pattern looks at before it lets others go first.")
OPTION(out_queue_bytes, "limits.out_queue_bytes", SIZE, "1MiB", 4 * KiB, 1 * GiB, fixed, "Bytes waiting for one client; beyond it the client is served from history at its own pace.")
OPTION(replay_window_bytes, "limits.replay_window_bytes", SIZE, "64KiB", 1 * KiB, 1 * GiB, fixed, "History queued to a client at a time while it catches up.")
OPTION(history_limit, "limits.history_limit", COUNT, "1000", 1, 1000000, fixed, "Messages in one reply to a history request.")
OPTION(last_limit, "limits.last_limit", COUNT, "10000", 1, 10000000, fixed, "The largest N of last=N.")
OPTION(recent_count, "limits.recent_count", COUNT, "256", 0, 1000000, fixed, "Newest messages kept in memory per active channel and worker, for clients that come back.")
OPTION(recent_bytes, "limits.recent_bytes", SIZE, "256KiB", 0, 1 * GiB, fixed, "Bytes kept in memory per active channel and worker.")
OPTION(recent_total_bytes, "limits.recent_total_bytes", SIZE, "128MiB", 0, 1 * TiB, fixed, "Bytes kept in memory for all channels of one worker.")
OPTION(pending_publishes, "limits.pending_publishes", COUNT, "1024", 1, 1000000, fixed, "Publishes of one connection that wait for the log; more are not read until then.")
OPTION(in_flight_max, "limits.in_flight_max", COUNT, "10000", 1, 10000000, fixed, "The largest max_in_flight of a durable subscriber; larger ones are lowered to it.")
OPTION(lag_count, "limits.lag_count", COUNT, "1000", 1, 1000000, fixed, "The lag of a durable subscriber is counted up to this many messages; beyond it is told as lag_at_least.")

SECTION("delivery", "How messages reach clients.")
OPTION(heartbeat_ms, "delivery.heartbeat", DURATION, "25s", 10, 3600 * SEC, fixed, "A stream on which nothing else was sent for so long carries a heartbeat. Keep it below the idle time of proxies on the way (often 60 s).")
OPTION(sse_retry_ms, "delivery.sse_retry", DURATION, "2s", 0, 3600 * SEC, fixed, "Delay before a browser reconnects its event stream.")
OPTION(poll_wait_max_ms, "delivery.poll_wait_max", DURATION, "1m", 0, 3600 * SEC, fixed, "The longest wait of a long poll.")
OPTION(poll_messages, "delivery.poll_messages", COUNT, "500", 1, 100000, fixed, "Messages in one poll reply.")
OPTION(poll_bytes, "delivery.poll_bytes", SIZE, "1MiB", 1 * KiB, 256 * MiB, fixed, "Payload bytes in one poll reply (one message is always given).")
OPTION(poll_batch_ms, "delivery.poll_batch", DURATION, "0", 0, 10 * SEC, fixed, "A waiting poll that got a message waits so long for more of the burst. 0: until the end of the event-loop turn.")
OPTION(in_flight, "delivery.in_flight", COUNT, "1000", 1, 10000000, fixed, "Messages that a durable subscriber gets on one connection beyond those it acknowledged, when it does not say how many (max_in_flight).")
OPTION(ack_wait_ms, "delivery.ack_wait", DURATION, "30s", 0, DAY, fixed, "What a durable subscriber did not acknowledge for so long is sent again, when it does not say (ack_wait). 0: never.")
OPTION(ack_wait_min_ms, "delivery.ack_wait_min", DURATION, "1s", 50, DAY, fixed, "The shortest ack_wait; shorter ones are raised to it.")

SECTION("presence", "Who is in a channel.")
OPTION(presence_grace_ms, "presence.grace", DURATION, "10s", 0, 3600 * SEC, fixed, "A session is still there for so long after its last connection or poll ended: coming back within it is neither a leave nor a join.")
OPTION(presence_batch_ms, "presence.batch", DURATION, "100ms", 0, 60 * SEC, fixed, "Those who come and go within this time are told in one event per channel.")
OPTION(presence_entries, "presence.entries", COUNT, "1000000", 1, 1000000000, fixed, "Entries (session × channel) of presence; beyond it subscriptions with presence are refused (503, overloaded).")
OPTION(presence_info_bytes, "presence.info_bytes", SIZE, "1KiB", 2, 64 * KiB, fixed, "The JSON that a client says of itself (info); more is refused (too_large).")
OPTION(presence_members, "presence.members", COUNT, "1000", 1, 100000, fixed, "Members in one reply or list.")

SECTION("namespace", "A namespace is the part of a channel's name before the first colon. [namespace] is for all channels; [namespace chat] is for those whose names begin with chat: and inherits from [namespace] what it does not set.")
NAMESPACE_OPTION(durability, "durability", DURABILITY, "commit", 0, 0, fixed, "What an acknowledged publish has survived: memory (nothing; kept in memory only), commit (a crash of the process), sync (a crash of the machine: fsync before the acknowledgement).")
NAMESPACE_OPTION(history_count, "history_count", COUNT, "10000", 0, UINT64_C(1) << 53, live, "Messages kept per channel. 0: no limit.")
NAMESPACE_OPTION(history_age_ms, "history_age", DURATION, "7d", 0, 36500 * DAY, live, "Messages are kept no longer than this. 0: no limit.")
NAMESPACE_OPTION(history_bytes, "history_bytes", SIZE, "0", 0, 1024 * TiB, live, "Payload bytes kept in the whole namespace. 0: no limit.")
NAMESPACE_OPTION(publish, "publish", ACCESS, "anyone", 0, 0, live, "Who may publish: anyone who reaches the listener, or admin: only through the admin socket.")
NAMESPACE_OPTION(subscribe, "subscribe", ACCESS, "anyone", 0, 0, live, "Who may subscribe and read history.")
NAMESPACE_OPTION(has_presence, "presence", BOOL, "no", 0, 0, live, "Keep who is in a channel, and tell it to those who may subscribe.")
NAMESPACE_OPTION(has_presence_events, "presence_events", BOOL, "yes", 0, 0, live, "Where presence is kept: tell the subscribers of those who come and go. Without it they can only ask.")
NAMESPACE_OPTION(slow, "slow", SLOW, "lag", 0, 0, live, "What becomes of a stream that can not keep up (out_queue_bytes): lag (fed from history at its own pace), skip (jumps to the newest and is told of a gap), disconnect (ended with the reason slow; the client comes back with its id). Of a stream with channels of several namespaces the strictest holds: disconnect, then skip, then lag.")
NAMESPACE_OPTION(is_public, "public", BOOL, "no", 0, 0, live, "Shared caches may keep answers (Cache-Control: public), so that a CDN collapses equal polls.")

#undef KiB
#undef MiB
#undef GiB
#undef TiB
#undef SEC
#undef DAY
#undef SECTION
#undef OPTION
#undef NAMESPACE_OPTION
