package frontend

import (
	"kanal/libs/requestchannel"
	"kanal/libs/socketserver"
)

// seat is what the front end keeps for one processor.
type seat struct {
	processor *socketserver.Processor
	call      requestchannel.Call     // reused by the processor's loop
	responses []socketserver.Response // reused by the dispatcher
}

// AddProcessor implements socketserver.RequestChannel.
func (q *requests) AddProcessor(p *socketserver.Processor) error {
	q.seats.Set(p.ID(), &seat{processor: p})
	if err := q.channel.AddProcessor(p.ID()); err != nil {
		q.seats.Set(p.ID(), nil)
		return err
	}
	return nil
}

// RemoveProcessor implements socketserver.RequestChannel.
func (q *requests) RemoveProcessor(id int) {
	q.channel.RemoveProcessor(id)
	q.seats.Set(id, nil)
}
