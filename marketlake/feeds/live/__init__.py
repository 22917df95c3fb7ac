"""Live feeds: venues watched over WebSocket, made into wire events and published."""
