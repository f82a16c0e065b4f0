"""A Carillon worker: python worker.py [host:port] [queue]"""
import os, queue, signal, socket, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import grpc

root = Path(__file__).resolve().parents[2]
sys.path += [str(root / "proto"), str(root / "third_party")]
pb, services = grpc.protos_and_services("carillon/v1/worker_service.proto")  # compiled here, by grpcio-tools
SUCCEEDED, FAILED, CANCELED = 3, 4, 5
key = lambda named: (named.execution_id, named.attempt)


def handle(assignment, log, stop):
    """One attempt: what it returns is the result, what it raises a failure; a cancel sets `stop`."""
    who = assignment.parameters.text or "world"
    log(f"hello {who}", attempt=assignment.attempt)
    if stop.wait(0.2):
        raise InterruptedError("stopped half way")
    return {"greeted": who}


class Worker:
    def __init__(self, queue_name="python", capacity=8):
        self.hello = dict(worker_id=f"{socket.gethostname()}:{os.getpid()}", queues=[queue_name], capacity=capacity)
        self.pool, self.interval, self.leaving = ThreadPoolExecutor(capacity), 1.0, False
        self.held = {}  # by (execution, attempt): what stops it, with its result once it has one, until that is stored

    def serve(self, address="127.0.0.1:50051"):
        while not self.leaving:  # one stream after the other; what runs goes on in between
            self.outgoing, self.ending = queue.SimpleQueue(), False
            try:
                with grpc.insecure_channel(address) as channel:
                    for message in services.WorkerServiceStub(channel).Connect(self.requests(self.outgoing)):
                        kind = message.WhichOneof("message")
                        self.receive(kind, kind and getattr(message, kind))
            except grpc.RpcError as error:
                print("the stream has ended:", error.code(), error.details(), file=sys.stderr)
                time.sleep(1)

    def requests(self, outgoing):
        running = [dict(execution_id=i, attempt=n) for i, n in list(self.held)]
        request = dict(hello=dict(**self.hello, running=running))
        while request is not None:  # None closes the worker's side
            yield pb.WorkerServiceConnectRequest(**request)
            try:
                request = outgoing.get(timeout=self.interval)
            except queue.Empty:
                request = dict(heartbeat={})

    def receive(self, kind, said):
        if kind == "welcome":
            self.interval = said.heartbeat_interval.ToMilliseconds() / 2000
            for result in [stop.result for stop in list(self.held.values()) if stop.result]:
                self.outgoing.put(dict(result=result))
        if kind == "assignments":
            for assignment in said.assignments:
                stop = self.held[key(assignment)] = threading.Event()
                stop.result = None
                self.pool.submit(self.run, assignment, stop)
        for ref in said.attempts if kind == "cancel" else []:
            self.held.get(key(ref), threading.Event()).set()
        for ref in said.rejected if kind == "welcome" else said.attempts if kind == "ack" else []:
            self.held.pop(key(ref), threading.Event()).set()
        self.end_when_done(self.ending or kind == "drain")

    def run(self, assignment, stop):
        names = dict(zip(("execution_id", "attempt"), key(assignment)))
        log = lambda text, **data: self.outgoing.put(dict(logs=dict(entries=[dict(**names, message=text, data=data)])))
        try:
            stop.result = dict(**names, state=SUCCEEDED, result=handle(assignment, log, stop))
        except Exception as error:
            stop.result = dict(**names, state=CANCELED if stop.is_set() else FAILED, message=str(error)[:10_000])
        self.outgoing.put(dict(result=stop.result))

    def end_when_done(self, ending):
        self.ending = ending
        if ending and not self.held:
            self.outgoing.put(None)

    def leave(self, *_):
        self.leaving = True
        self.outgoing.put(dict(goodbye={}))
        self.end_when_done(True)


worker = Worker(*sys.argv[2:3])
signal.signal(signal.SIGTERM, worker.leave)
signal.signal(signal.SIGINT, worker.leave)
worker.serve(*sys.argv[1:2])
