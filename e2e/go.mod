module kanal/e2e

go 1.26.0

require kanal/libs v0.0.0

replace kanal/libs => ../libs

require kanal/services/echo v0.0.0

replace kanal/services/echo => ../services/echo

require kanal/services/frontend v0.0.0

replace kanal/services/frontend => ../services/frontend

require kanal/services/groups v0.0.0

replace kanal/services/groups => ../services/groups

require kanal/services/metadata v0.0.0

replace kanal/services/metadata => ../services/metadata

require kanal/services/records v0.0.0

replace kanal/services/records => ../services/records

require (
	github.com/nats-io/nats-server/v2 v2.15.2
	github.com/twmb/franz-go v1.22.2
	github.com/twmb/franz-go/pkg/kadm v1.19.0
	kanal/services/standalone v0.0.0
)

require (
	github.com/caarlos0/env/v11 v11.4.2 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/twmb/franz-go/pkg/kmsg v1.15.0 // indirect
)

replace kanal/services/standalone => ../services/standalone
