module kanal/services/echo

go 1.26.0

require kanal/libs v0.0.0

replace kanal/libs => ../../libs
