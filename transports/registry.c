/* SPDX-License-Identifier: MIT */
/* registry: the transports, asked in this order. */
#include "transports/transport.h"

const struct transport_ops *const transport_registry[] = {
	&websocket_transport,
	&sse_transport,
	&longpoll_transport,
	&shortpoll_transport,
	&publish_transport,
	&history_transport,
	&presence_transport,
	&info_transport,
	&ack_transport,
	&acks_transport,
	NULL,
};
