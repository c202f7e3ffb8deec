/* SPDX-License-Identifier: MIT */
/* HISTOGRAM(id, Prometheus name without unit, help). Values in microseconds, shown in seconds. */
HISTOGRAM(COMMIT, "holdfast_commit", "Time of one commit of the log thread.")
HISTOGRAM(ACK, "holdfast_publish_ack", "From a publish's arrival to its acknowledgement.")
HISTOGRAM(DELIVERY, "holdfast_delivery", "From a publish's arrival to its fan-out on a worker.")
HISTOGRAM(QUERY, "holdfast_history_query", "Time of one range read.")
