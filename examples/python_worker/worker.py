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


def handle(parameters, log, canceled):
    """The part to make your own: what it returns is the result, what it raises a failure; a cancel sets `canceled`."""
    who = parameters.text or "world"
    log(f"hello {who}", length=len(who))
    if canceled.wait(1):
        raise InterruptedError("stopped half way")
    return {"greeted": who}


class Worker:
    def __init__(self, queue_name="python", capacity=8):
        self.hello = dict(worker_id=f"{socket.gethostname()}:{os.getpid()}", queues=[queue_name], capacity=capacity)
        self.pool, self.interval, self.leaving = ThreadPoolExecutor(capacity), 1.0, threading.Event()
        self.held = {}  # by execution and attempt: what stops it, with its result once it has one, until that is stored

    def serve(self, address="127.0.0.1:50051"):
        wait = 0.5
        while self.held or not self.leaving.is_set():  # one stream after the other; what runs goes on in between
            self.outgoing = queue.SimpleQueue()
            try:
                with grpc.insecure_channel(address) as channel:
                    for message in services.WorkerServiceStub(channel).Connect(self.requests(self.outgoing)):
                        kind, wait = message.WhichOneof("message"), 0.5
                        self.receive(kind, kind and getattr(message, kind))
            except grpc.RpcError as error:
                print("the stream has ended:", error.code(), error.details(), file=sys.stderr)
                wait = min(wait * 2, 8)
                time.sleep(wait)

    def requests(self, outgoing):
        running = [dict(execution_id=i, attempt=n) for i, n in list(self.held)]
        yield pb.WorkerServiceConnectRequest(hello=dict(**self.hello, running=running))
        while self.held or not self.leaving.is_set():  # then the worker's side is closed
            try:
                yield pb.WorkerServiceConnectRequest(**outgoing.get(timeout=self.interval))
            except queue.Empty:
                yield pb.WorkerServiceConnectRequest(**{"goodbye" if self.leaving.is_set() else "heartbeat": {}})

    def receive(self, kind, said):
        if kind == "welcome":
            self.interval = said.heartbeat_interval.ToMilliseconds() / 4000
            for result in [stop.result for stop in list(self.held.values()) if stop.result]:
                self.outgoing.put(dict(result=result))
        for assignment in said.assignments if kind == "assignments" else []:
            stop = self.held[key(assignment)] = threading.Event()
            stop.result = None
            self.pool.submit(self.run, assignment, stop)
        for ref in said.attempts if kind == "cancel" else []:
            self.held.get(key(ref), threading.Event()).set()
        for ref in said.rejected if kind == "welcome" else said.attempts if kind == "ack" else []:
            self.held.pop(key(ref), threading.Event()).set()

    def run(self, assignment, stop):
        names = dict(zip(("execution_id", "attempt"), key(assignment)))
        log = lambda text, **data: self.outgoing.put(dict(logs=dict(entries=[dict(**names, message=text, data=data)])))
        try:
            stop.result = dict(**names, state=SUCCEEDED, result=handle(assignment.parameters, log, stop))
        except Exception as error:
            stop.result = dict(**names, state=CANCELED if stop.is_set() else FAILED, message=str(error)[:10_000])
        self.outgoing.put(dict(result=stop.result))


worker = Worker(*sys.argv[2:3])
signal.signal(signal.SIGTERM, lambda *_: worker.leaving.set())
signal.signal(signal.SIGINT, lambda *_: worker.leaving.set())
worker.serve(*sys.argv[1:2])
