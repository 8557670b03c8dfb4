"""A gateway in front of a simulated Voyage, or of another server."""

from http.client import HTTPConnection

import grpc

import processes


class Deployment:
    """The processes, and a Python channel to the gateway."""

    def __init__(self, server, simulator=None):
        self.server = server
        self.simulator = simulator
        self.address = server.addresses["grpc"]
        self.admin = server.addresses["admin"]
        self.channel = grpc.insecure_channel(self.address)

    def get(self, path, method="GET"):
        """Returns the status and the text of a page of the admin port."""
        connection = HTTPConnection(self.admin, timeout=processes.PATIENCE)
        try:
            connection.request(method, path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def metric(self, name, **labels):
        """Returns a metric's value, summed over all other labels."""
        total = 0
        for line in self.get("/metrics")[1].splitlines():
            series, _, value = line.rpartition(" ")
            wanted = [f'{label}="{value}"' for label, value in labels.items()]
            if series.partition("{")[0] == name and all(label in series for label in wanted):
                total += float(value)
        return total

    def counted(self, name, **labels):
        """Waits for a metric, and returns its value: it may be counted after the reply."""
        return processes.eventually(lambda: self.metric(name, **labels), f"{name} {labels}")

    def close(self):
        self.channel.close()
        self.server.kill()
        if self.simulator:
            self.simulator.kill()


def start(simulator=(), settings=()):
    """Starts both, with the simulator's arguments and the gateway's settings."""
    voyage = processes.simulate(*simulator)
    try:
        return Deployment(processes.serve(base_url(voyage), *settings), voyage)
    except BaseException:
        voyage.kill()
        raise


def base_url(voyage):
    return f"http://{voyage.addresses['simulator']}/v1"
