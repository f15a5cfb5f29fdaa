"""Perennial, a subscription billing engine that can prove it charged everyone once.

One renewal, function by function (docs/architecture.md has all of it):

    billing.workers.daemons.scheduler  Scheduler.tick
      flows.cycles.opening             open_due_cycles             lock due subscriptions, by batch
        flows.cycles.deciding          decide                      pure: the next cycle
          rules.periods                nth                         the period with number n
          plans.terms                  version_for_period          the terms of that period
          rules.invoices               draft                       lines and total
        ledger.recipes                 invoice_issued              the entry
      flows.payments.collecting        dispatch_due                payments that are due
    billing.workers.daemons.charges    charge                      one payment, any number of times
      flows.payments.collecting        begin                       commit the attempt and its key
      gateway.stripe                   charge                      the call, with an outcome
      flows.payments.collecting        finish                      write the outcome
        flows.payments.outcomes        apply                       state, journal, status
        rules.dunning                  decide                      the next step after a decline
    billing.workers.daemons.reconciler Reconciler.tick
      flows.settlement.charge_list     run                         confirm captures
      flows.settlement.runs            work_on_all                 the night's settlement
      flows.cycles.closing             run                         close cycles that agree
"""
