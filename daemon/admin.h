/* SPDX-License-Identifier: MIT */
/*
 * admin: the process's own HTTP requests: health and metrics for everybody, /v1/admin/ on the admin
 * socket. They are transports that do not subscribe; gateway.extra points here, gateway.extra_arg
 * is the worker.
 * Thread: the worker's.
 */
#ifndef DAEMON_ADMIN_H
#define DAEMON_ADMIN_H

#include "transports/transport.h"

extern const struct transport_ops *const admin_registry[];

extern const struct transport_ops health_transport, ready_transport, metrics_transport,
	demo_transport, client_transport, admin_transport;

#endif
