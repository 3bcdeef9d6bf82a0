//go:build unix

package main

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// settle is how long Serve may take to begin with a connection that it has just accepted.
const settle = 100 * time.Millisecond

type grpcServer struct{ server *grpc.Server }

func newGRPC() *grpcServer {
	s := &grpcServer{grpc.NewServer()}
	grpc_health_v1.RegisterHealthServer(s.server, health.NewServer())
	return s
}

func (s *grpcServer) serve(l net.Listener) error { return s.server.Serve(l) }

// drain completes all calls. GracefulStop alone would close the connections that Serve has just accepted.
func (s *grpcServer) drain(ctx context.Context, l net.Listener) error {
	_ = l.Close() // Serve returns net.ErrClosed
	time.Sleep(settle)
	stopped := make(chan bool)
	go func() { s.server.GracefulStop(); close(stopped) }()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done(): // the end of the process disconnects the rest
		return ctx.Err()
	}
}
