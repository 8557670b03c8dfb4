"""A name server like a cluster's: one name with the addresses of the ready pods."""

import socket
import struct
import threading

NAME = "voyage-gateway-headless.default.svc.cluster.local"

_HEADER = struct.Struct("!HHHHHH")
_A = 1


class NameServer:
    """Answers every query with its addresses, over UDP on a free port."""

    def __init__(self):
        self.addresses = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def target(self, port):
        """Returns the target for a gRPC client: the name, to be resolved by this server."""
        return f"dns://127.0.0.1:{self._socket.getsockname()[1]}/{NAME}:{port}"

    def _serve(self):
        while True:
            try:
                query, client = self._socket.recvfrom(4096)
                self._socket.sendto(answer(query, self.addresses), client)
            except OSError:
                # Closed, or the client has gone.
                if self._socket.fileno() < 0:
                    return

    def close(self):
        self._socket.close()


def answer(query, addresses):
    """Returns the reply to a query: all addresses for type A, none for other types."""
    identity, *_ = _HEADER.unpack_from(query)
    end = _HEADER.size
    while query[end]:
        end += 1 + query[end]
    question = query[_HEADER.size : end + 5]
    (kind,) = struct.unpack_from("!H", query, end + 1)
    found = addresses if kind == _A else []
    # A pointer to the question's name, type, class, no time to live, four bytes.
    records = [struct.pack("!HHHIH", 0xC00C, _A, 1, 0, 4) + socket.inet_aton(address) for address in found]
    # Flags: authoritative, no error, recursion desired and available.
    return _HEADER.pack(identity, 0x8580, 1, len(records), 0, 0) + question + b"".join(records)
