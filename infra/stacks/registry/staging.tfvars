# Nothing beyond what every stack is told.
