// A Carillon worker: go run . host:port queue
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	pb "example.com/carillon/go_worker/gen/carillon/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
)

// handle is the part to make your own: it writes log lines and returns the result. A cancel ends its context.
func handle(ctx context.Context, of *pb.AttemptRef, parameters *pb.Parameters, lines chan<- *pb.WorkerLogEntry) *pb.WorkerResult {
	lines <- &pb.WorkerLogEntry{ExecutionId: of.ExecutionId, Attempt: of.Attempt, Message: "hello " + parameters.GetText()}
	select {
	case <-time.After(time.Second): // the work
		value, _ := structpb.NewStruct(map[string]any{"greeted": parameters.GetText()})
		return &pb.WorkerResult{ExecutionId: of.ExecutionId, Attempt: of.Attempt, State: pb.ExecutionState_EXECUTION_STATE_SUCCEEDED, Result: value}
	case <-ctx.Done():
		return &pb.WorkerResult{ExecutionId: of.ExecutionId, Attempt: of.Attempt, State: pb.ExecutionState_EXECUTION_STATE_CANCELED}
	}
}

func main() {
	connection, _ := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	leaving, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	hello := &pb.WorkerHello{WorkerId: "go " + time.Now().Format(time.RFC3339Nano), Queues: os.Args[2:], Capacity: 8}
	signs := map[bool]pb.WorkerServiceConnectRequest_builder{false: {Heartbeat: &pb.WorkerHeartbeat{}}, true: {Goodbye: &pb.WorkerGoodbye{}}}
	lines, ended, message := make(chan *pb.WorkerLogEntry), make(chan *pb.WorkerResult), &pb.WorkerServiceConnectResponse{}
	stops, unacked := map[string]context.CancelFunc{}, &pb.WorkerResults{}  // attempts and results until they are acknowledged
	for ; leaving.Err() == nil || len(stops) > 0; time.Sleep(time.Second) { // one stream; what runs goes on behind it
		stream, err := pb.NewWorkerServiceClient(connection).Connect(context.Background())
		if err == nil {
			_ = stream.Send(pb.WorkerServiceConnectRequest_builder{Hello: hello}.Build())
			err = stream.RecvMsg(message) // the welcome
			_ = stream.Send(pb.WorkerServiceConnectRequest_builder{Results: unacked}.Build())
		}
		received, beat := make(chan error, 1), time.Tick(message.GetWelcome().GetHeartbeatInterval().AsDuration()/2)
		received <- err
		for err == nil && (leaving.Err() == nil || len(stops) > 0) {
			select {
			case line := <-lines:
				_ = stream.Send(pb.WorkerServiceConnectRequest_builder{Logs: &pb.WorkerLogs{Entries: []*pb.WorkerLogEntry{line}}}.Build())
			case result := <-ended:
				unacked.Results = append(unacked.Results, result)
				_ = stream.Send(pb.WorkerServiceConnectRequest_builder{Result: result}.Build())
			case <-beat: // a heartbeat, or goodbye once it leaves
				_ = stream.Send(signs[leaving.Err() != nil].Build())
			case err = <-received:
				for _, ref := range append(message.GetCancel().GetAttempts(), message.GetWelcome().GetRejected()...) {
					if stop := stops[ref.String()]; stop != nil {
						stop()
					}
				}
				for _, ref := range append(message.GetAck().GetAttempts(), message.GetWelcome().GetRejected()...) {
					delete(stops, ref.String())
					hello.Running = slices.DeleteFunc(hello.Running, func(r *pb.AttemptRef) bool { return r.String() == ref.String() })
					unacked.Results = slices.DeleteFunc(unacked.Results, func(r *pb.WorkerResult) bool { return r.ExecutionId == ref.ExecutionId && r.Attempt == ref.Attempt })
				}
				for _, assignment := range message.GetAssignments().GetAssignments() {
					ref := &pb.AttemptRef{ExecutionId: assignment.ExecutionId, Attempt: assignment.Attempt}
					ctx, stop := context.WithCancel(context.Background())
					stops[ref.String()], hello.Running = stop, append(hello.Running, ref)
					go func() { ended <- handle(ctx, ref, assignment.Parameters, lines) }()
				}
				message.Reset()
				go func() { received <- stream.RecvMsg(message) }()
			}
		}
		log.Print("the stream has ended: ", err)
	}
}
