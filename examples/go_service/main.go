// A Go service that Carillon calls: go run . [host:port]
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	pb "example.com/carillon/go_service/gen/carillon/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

type target struct {
	pb.UnimplementedTargetServiceServer
}

// Run does one attempt: log lines and progress while it works, the result in the end; an error status is a failure.
func (target) Run(request *pb.TargetServiceRunRequest, stream grpc.ServerStreamingServer[pb.TargetServiceRunResponse]) error {
	who := request.GetParameters().GetText()
	if who == "nobody" {
		return status.Error(codes.InvalidArgument, "nobody is not somebody")
	}
	if who == "" {
		who = "world"
	}
	line := &pb.TargetLog{Message: "hello " + who}
	if err := stream.Send(&pb.TargetServiceRunResponse{Event: &pb.TargetServiceRunResponse_Log{Log: line}}); err != nil {
		return err
	}
	for step := 1; step <= 4; step++ {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-stream.Context().Done(): // canceled, or its time is over
			return stream.Context().Err()
		}
		progress := &pb.TargetProgress{Fraction: float64(step) / 4}
		if err := stream.Send(&pb.TargetServiceRunResponse{Event: &pb.TargetServiceRunResponse_Progress{Progress: progress}}); err != nil {
			return err
		}
	}
	value, err := structpb.NewStruct(map[string]any{"greeted": who})
	if err != nil {
		return err
	}
	result := &pb.TargetResult{State: pb.ExecutionState_EXECUTION_STATE_SUCCEEDED, Result: value}
	return stream.Send(&pb.TargetServiceRunResponse{Event: &pb.TargetServiceRunResponse_Result{Result: result}})
}

func main() {
	address := append(os.Args[1:], "127.0.0.1:9101")[0]
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterTargetServiceServer(server, target{})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, server.GracefulStop)
	fmt.Println("service on", listener.Addr())
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
