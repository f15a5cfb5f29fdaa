"""Perennial, a subscription billing engine that can prove it charged everyone once.

One renewal, function by function (docs/architecture.md tells it at length):

    workers.daemons.scheduler   tick                        the daemon's heartbeat
      flows.renew         open_due_cycles             lock due subscriptions, batch by batch
        periods             nth                         which period is number n
        plans.terms         version_for_period          which terms apply to it
        invoices            draft                       what it owes
        ledger.recipes      invoice_issued              what that posts
      flows.collect       dispatch_due                which payments want a worker
    workers.daemons.charges     charge                      one payment, any number of times
      flows.collect       begin                       commit the attempt and its key
      gateway.stripe      charge                      the call; every answer is an outcome
      flows.collect       finish                      write down what became of it
        flows.resolve       captured | declined | ...   state, journal, ladder, status
        dunning             decide                      what follows a decline
    workers.daemons.reconciler  tick
      flows.confirm       run                         does the provider have the money?
      flows.close         run                         resolved, nothing owed, confirmed: closed
"""
