// A Carillon worker: go run . [host:port] [queue]
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	pb "example.com/carillon/go_worker/gen/carillon/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
)

// handle runs one attempt: what it returns is the result, an error a failure; a cancel ends its context.
func handle(ctx context.Context, parameters *pb.Parameters, say func(string)) (map[string]any, error) {
	who := parameters.GetText()
	if who == "" {
		who = "world"
	}
	say("hello " + who)
	select {
	case <-time.After(200 * time.Millisecond):
		return map[string]any{"greeted": who}, nil
	case <-ctx.Done():
		return nil, errors.New("stopped half way")
	}
}

// run calls handle for an attempt and says how it ended.
func (w *worker) run(ctx context.Context, a *pb.Assignment, held *attempt) {
	value, err := handle(ctx, a.Parameters, func(text string) {
		entry := &pb.WorkerLogEntry{ExecutionId: a.ExecutionId, Attempt: a.Attempt, Message: text}
		w.send(&pb.WorkerServiceConnectRequest{Message: &pb.WorkerServiceConnectRequest_Logs{Logs: &pb.WorkerLogs{Entries: []*pb.WorkerLogEntry{entry}}}})
	})
	result := &pb.WorkerResult{ExecutionId: a.ExecutionId, Attempt: a.Attempt, State: pb.ExecutionState_EXECUTION_STATE_SUCCEEDED}
	if err == nil && value != nil {
		result.Result, err = structpb.NewStruct(value)
	}
	if err != nil {
		result.State, result.Message = pb.ExecutionState_EXECUTION_STATE_FAILED, err.Error()
		if ctx.Err() != nil {
			result.State = pb.ExecutionState_EXECUTION_STATE_CANCELED
		}
	}
	message := &pb.WorkerServiceConnectRequest{Message: &pb.WorkerServiceConnectRequest_Result{Result: result}}
	w.Lock()
	held.result = message
	w.Unlock()
	w.send(message)
}

func main() {
	arguments := append(os.Args[1:], []string{"127.0.0.1:50051", "go"}[min(len(os.Args)-1, 2):]...)
	connection, err := grpc.NewClient(arguments[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	host, _ := os.Hostname()
	hello := &pb.WorkerHello{WorkerId: fmt.Sprintf("%s:%d", host, os.Getpid()), Queues: arguments[1:2], Capacity: 8}
	w := &worker{held: map[[2]int64]*attempt{}}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go w.leave(signals)
	for !w.isLeaving() {
		if err := w.serve(pb.NewWorkerServiceClient(connection), hello); !errors.Is(err, io.EOF) {
			log.Print("the stream has ended: ", err)
			time.Sleep(time.Second)
		}
	}
}
