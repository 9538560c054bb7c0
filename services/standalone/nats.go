package standalone

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// maxPayload is what the shipped NATS settings allow for one message, in bytes.
// It bounds max.message.bytes: a batch is one message. NATS advises 8 MiB at
// most, but Kafka users do set 10 MiB (docs/decisions/0004).
const maxPayload = 16 << 20

// startNATS starts the embedded server with JetStream on the data folder.
func startNATS(cfg Config, log *slog.Logger) (*server.Server, error) {
	host, port, err := net.SplitHostPort(cfg.NATSListen)
	if err != nil {
		return nil, err
	}
	if err := portFree(cfg.NATSListen); err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("read KANAL_NATS_LISTEN=%s: %w", cfg.NATSListen, err)
	}
	if n == 0 {
		n = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "kanal-standalone", Host: host, Port: n, NoSigs: true,
		JetStream: true, StoreDir: filepath.Join(cfg.DataDir, "nats"), SyncAlways: cfg.SyncAlways,
		MaxPayload: maxPayload, DisableShortFirstPing: true,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the embedded NATS: %w", err)
	}
	s.SetLoggerV2(natsLog{log.With("service", "nats")}, false, false, false)
	go s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("the embedded NATS on %s with data in %s was not ready within 30 s; its log says why", cfg.NATSListen, cfg.DataDir)
	}
	if !cfg.SyncAlways {
		log.Warn("acknowledged records may be lost in a power cut: KANAL_SYNC_ALWAYS is false")
	}
	return s, nil
}

// portFree turns a port in use into an error that says what to do.
func portFree(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("open the port of the embedded NATS (KANAL_NATS_LISTEN=%s): %w; set another address, or KANAL_NATS_URL to use the NATS that runs there", addr, err)
	}
	return l.Close()
}

// natsLog passes the server's log on: its notices are our debug.
type natsLog struct{ log *slog.Logger }

func (l natsLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l natsLog) Warnf(format string, v ...any) {
	if strings.HasPrefix(format, "Maximum payloads over") {
		l.Noticef(format, v...) // chosen, see maxPayload
		return
	}
	l.log.Warn(fmt.Sprintf(format, v...))
}
func (l natsLog) Fatalf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }
func (l natsLog) Errorf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }
func (l natsLog) Debugf(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l natsLog) Tracef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
