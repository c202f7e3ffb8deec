/* SPDX-License-Identifier: MIT */
/* Everything that crosses threads. LETTER(name, from, to, payload and who frees it) */
LETTER(APPEND, "worker", "log thread, and back inside BATCH", "struct append; the worker frees it")
LETTER(BATCH, "log thread; a worker, of ephemeral messages alone", "every worker", "struct batch_letter; the worker frees it")
LETTER(ACK, "worker", "log thread, and back", "struct ack_letter; the worker frees it")
LETTER(QUERY, "worker", "reader thread, and back", "struct query; the worker frees it")
LETTER(TASK, "worker", "log or reader thread, and back", "struct store_task; the worker frees it")
LETTER(ERRAND, "worker", "each worker in turn, and back", "struct errand; the first worker frees it")
LETTER(CONFIG, "main", "every worker", "struct config_letter; the worker frees it")
LETTER(DRAIN, "main", "every worker", "struct letter; the worker frees it")
LETTER(STOP, "main", "every worker, log thread, readers", "struct letter; the receiver frees it")
