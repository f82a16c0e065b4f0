package main

import (
	"context"
	"os"
	"sync"
	"time"

	pb "example.com/carillon/go_worker/gen/carillon/v1"
)

// attempt is held until its result is stored.
type attempt struct {
	ref    *pb.AttemptRef
	cancel context.CancelFunc
	result *pb.WorkerServiceConnectRequest // nil while it runs
}

// worker runs what it is assigned. One mutex guards its state and sending.
type worker struct {
	sync.Mutex
	held              map[[2]int64]*attempt
	stream            pb.WorkerService_ConnectClient
	leaving, draining bool
}

func key(a interface {
	GetExecutionId() int64
	GetAttempt() int32
}) [2]int64 {
	return [2]int64{a.GetExecutionId(), int64(a.GetAttempt())}
}

// serve holds one stream to its end; what runs goes on behind it, and is named to the next one.
func (w *worker) serve(client pb.WorkerServiceClient, hello *pb.WorkerHello) error {
	stream, err := client.Connect(context.Background())
	if err != nil {
		return err
	}
	w.Lock()
	w.stream, w.draining, hello.Running = stream, false, nil
	for _, each := range w.held {
		hello.Running = append(hello.Running, each.ref)
	}
	_ = stream.Send(&pb.WorkerServiceConnectRequest{Message: &pb.WorkerServiceConnectRequest_Hello{Hello: hello}})
	w.Unlock()
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		w.Lock()
		w.receive(message)
		w.Unlock()
	}
}

func (w *worker) receive(message *pb.WorkerServiceConnectResponse) {
	for _, ref := range append(message.GetWelcome().GetRejected(), message.GetAck().GetAttempts()...) {
		if each := w.held[key(ref)]; each != nil {
			each.cancel()
			delete(w.held, key(ref))
		}
	}
	if welcome := message.GetWelcome(); welcome != nil {
		for _, each := range w.held {
			if each.result != nil {
				_ = w.stream.Send(each.result)
			}
		}
		go w.beat(w.stream.Context(), welcome.HeartbeatInterval.AsDuration()/2)
	}
	for _, assignment := range message.GetAssignments().GetAssignments() {
		ctx, cancel := context.WithCancel(context.Background())
		ref := &pb.AttemptRef{ExecutionId: assignment.ExecutionId, Attempt: assignment.Attempt}
		w.held[key(ref)] = &attempt{ref, cancel, nil}
		go w.run(ctx, assignment, w.held[key(ref)])
	}
	for _, ref := range message.GetCancel().GetAttempts() {
		if each := w.held[key(ref)]; each != nil {
			each.cancel()
		}
	}
	w.draining = w.draining || message.GetDrain() != nil
	w.endWhenDone()
}

func (w *worker) endWhenDone() {
	if (w.leaving || w.draining) && len(w.held) == 0 && w.stream != nil {
		_ = w.stream.CloseSend()
	}
}

func (w *worker) isLeaving() bool {
	w.Lock()
	defer w.Unlock()
	return w.leaving
}

// leave takes nothing more from the first signal on.
func (w *worker) leave(signals <-chan os.Signal) {
	<-signals
	w.send(&pb.WorkerServiceConnectRequest{Message: &pb.WorkerServiceConnectRequest_Goodbye{Goodbye: &pb.WorkerGoodbye{}}})
	w.Lock()
	defer w.Unlock()
	w.leaving = true
	w.endWhenDone()
}

// send says something; that it failed is told by Recv, and a result goes to the next stream as well.
func (w *worker) send(message *pb.WorkerServiceConnectRequest) {
	w.Lock()
	defer w.Unlock()
	if w.stream != nil {
		_ = w.stream.Send(message)
	}
}

func (w *worker) beat(ctx context.Context, interval time.Duration) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
			w.send(&pb.WorkerServiceConnectRequest{Message: &pb.WorkerServiceConnectRequest_Heartbeat{Heartbeat: &pb.WorkerHeartbeat{}}})
		}
	}
}
