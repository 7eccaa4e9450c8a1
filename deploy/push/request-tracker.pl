# Scrip of Request Tracker that tells casebridge of each change of a ticket.
#
# Condition "On Transaction", action "User Defined", template "Blank", stage "Batch" if the queue has custom fields that are set together
# with other changes. This text is the custom action commit code; the preparation code is "return 1;". Two values of RT_SiteConfig.pm:
#
#   Set($CasebridgeURL, 'https://casebridge.example/push/company');
#   Set($CasebridgeSecret, 'the secret that push.company.secret names');
#
# A message that gets lost delays nothing but this change, until the next poll: the scrip waits three seconds and never fails.
require LWP::UserAgent;
require JSON;
my $agent = LWP::UserAgent->new( timeout => 3 );
my $answer = $agent->post(
    RT->Config->Get('CasebridgeURL'),
    'X-Casebridge-Secret' => RT->Config->Get('CasebridgeSecret'),
    'Content-Type'        => 'application/json',
    Content               => JSON::to_json(
        {   case_id => '' . $self->TicketObj->id,
            user    => '' . $self->TransactionObj->CreatorObj->Name,
        }
    ),
);
RT->Logger->warning( 'casebridge was not told of ticket ' . $self->TicketObj->id . ': ' . $answer->status_line )
    unless $answer->is_success;
return 1;
