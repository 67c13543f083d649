"""The controller: once a period it observes demand, asks the policy, and writes the weights that differ."""
