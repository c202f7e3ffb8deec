// SPDX-License-Identifier: MIT
// holdfast-more: what few pages ask for, in a module of its own that the client fetches when its options do: a connection for all
// tabs, and an outbox that is kept. It is given the client's own parts, so that a type is one type.

import { durableStore } from './outbox_idb.js';
import { tabSharing } from './tabs.js';

export default (parts) => ({ DurableStore: durableStore(parts), shareTabs: tabSharing(parts) });
