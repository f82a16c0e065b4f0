"""A Python service that Carillon calls: python service.py [host:port]"""
import signal, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import grpc

root = Path(__file__).resolve().parents[2]
sys.path += [str(root / "proto"), str(root / "third_party")]
pb, services = grpc.protos_and_services("carillon/v1/target_service.proto")  # compiled here, by grpcio-tools
SUCCEEDED = 3


class Target(services.TargetServiceServicer):
    def Run(self, request, context):
        """One attempt: log lines and progress while it works, the result in the end; an error status is a failure."""
        who = request.parameters.text or "world"
        if who == "nobody":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "nobody is not somebody")
        log = pb.TargetLog(message=f"hello {who}", data={"attempt": request.attempt})
        yield pb.TargetServiceRunResponse(log=log)
        for step in range(1, 5):
            if not context.is_active():  # canceled, or its time is over
                return
            time.sleep(0.05)
            yield pb.TargetServiceRunResponse(progress=pb.TargetProgress(fraction=step / 4))
        result = pb.TargetResult(state=SUCCEEDED, result={"greeted": who})
        yield pb.TargetServiceRunResponse(result=result)


server = grpc.server(ThreadPoolExecutor(8))
services.add_TargetServiceServicer_to_server(Target(), server)
host = (sys.argv[1:2] or ["127.0.0.1:9100"])[0]
port = server.add_insecure_port(host)
server.start()
print(f"service on {host.rsplit(':', 1)[0]}:{port}", flush=True)
signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=10))
signal.signal(signal.SIGINT, lambda *_: server.stop(grace=10))
server.wait_for_termination()
