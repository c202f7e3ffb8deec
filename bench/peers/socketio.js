// SPDX-License-Identifier: MIT
// socket.io: WebSocket only, no compression, everybody in one room. socketio.js PORT

import { Server } from 'socket.io';
import { serve } from './publish.js';

const http = serve(Number(process.argv[2]), (payload) => io.to('bench').emit('message', payload.toString()));
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false, serveClient: false, pingInterval: 3600000 });
io.on('connection', (socket) => socket.join('bench'));
